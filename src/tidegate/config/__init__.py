"""The configuration: from YAML, environment and references to one checked, immutable value.

`load` is the way in; the models say what everything behind it may rely on. Knows nothing of
requests, stores or processes.
"""

from tidegate.config.differences import differences
from tidegate.config.environment import Settings
from tidegate.config.json_schema import config_json_schema
from tidegate.config.loader import load
from tidegate.config.problems import ConfigError, Problem
from tidegate.config.redaction import redacted_url
from tidegate.config.schema import (
    Admin,
    Allowed,
    Cache,
    CacheStore,
    Concurrency,
    Config,
    CustomPolicy,
    EdgeBounds,
    Key,
    Limit,
    Listen,
    Plan,
    Pool,
    Quota,
    Redis,
    Route,
    Service,
    SlidingWindow,
    Tenant,
    Timeouts,
    Tls,
    TokenBucket,
)
from tidegate.config.units import Rate

__all__ = [
    "Admin",
    "Allowed",
    "Cache",
    "CacheStore",
    "Concurrency",
    "Config",
    "ConfigError",
    "CustomPolicy",
    "EdgeBounds",
    "Key",
    "Limit",
    "Listen",
    "Plan",
    "Pool",
    "Problem",
    "Quota",
    "Rate",
    "Redis",
    "Route",
    "Service",
    "Settings",
    "SlidingWindow",
    "Tenant",
    "Timeouts",
    "Tls",
    "TokenBucket",
    "config_json_schema",
    "differences",
    "load",
    "redacted_url",
]
