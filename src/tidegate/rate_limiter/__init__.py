"""Token buckets and calendar quotas, decided together in one script call on the store's clock."""

from tidegate.rate_limiter.decision import CostExceedsLimit, Decision, LimitState
from tidegate.rate_limiter.degraded import Degraded
from tidegate.rate_limiter.limiter import Limiter
from tidegate.rate_limiter.limits import REQUESTS, Costs, Counter, Subject, caller_counters

__all__ = [
    "REQUESTS",
    "CostExceedsLimit",
    "Costs",
    "Counter",
    "Decision",
    "Degraded",
    "LimitState",
    "Limiter",
    "Subject",
    "caller_counters",
]
