"""Limits of every kind, decided together in one script call on the store's clock."""

from tidegate.rate_limiter.degraded import Degraded
from tidegate.rate_limiter.errors import CostExceedsLimit
from tidegate.rate_limiter.limiter import Limiter
from tidegate.rate_limiter.limits import REQUESTS, Costs, Counter, Subject, Whose, caller_counters
from tidegate.rate_limiter.plain_decision import Decision
from tidegate.rate_limiter.states import LimitState

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
    "Whose",
    "caller_counters",
]
