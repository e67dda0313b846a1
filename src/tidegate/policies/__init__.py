"""Policies: the layers of the pipeline, their public API, and their one order.

For a policy of your own: `from tidegate.policies import Next, Policy, Request, Response`.
"""

from tidegate.http import Response
from tidegate.policies.auth_throttle import AuthThrottle
from tidegate.policies.forget import is_cached
from tidegate.policies.limit_signals import LimitSignals
from tidegate.policies.limit_subjects import Subjects
from tidegate.policies.order import Parts, asks_of, chain_of, ordered
from tidegate.policies.own_code import PolicyNotLoaded
from tidegate.policies.policy import Ask, Context, Layer, Next, Policy, Request
from tidegate.policies.request_identity import RequestIdentity

__all__ = [
    "Ask",
    "AuthThrottle",
    "Context",
    "Layer",
    "LimitSignals",
    "Next",
    "Parts",
    "Policy",
    "PolicyNotLoaded",
    "Request",
    "RequestIdentity",
    "Response",
    "Subjects",
    "asks_of",
    "chain_of",
    "is_cached",
    "ordered",
]
