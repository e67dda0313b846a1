"""Every metric there is: its kind, its labels, and what it means. The one list of names.

A worker's numbers travel as `Series`: by metric, then by the values of its labels, joined by a
character that no name holds. Adding two of them is all that summing over workers takes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

SEPARATOR: Final = "\x1f"

Value = float | list[float]
"""A number, or a histogram as meters.py has it."""
Series = dict[str, dict[str, Value]]


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(NamedTuple):
    kind: Kind
    labels: tuple[str, ...]
    help: str


_ROUTE: Final = ("service", "route")

FAMILIES: Final[Mapping[str, Family]] = {
    "tidegate_requests": Family(
        Kind.COUNTER,
        (*_ROUTE, "status", "source"),
        "Answers by who made them: gateway, cache or upstream. No service: no route was found, "
        "or it was refused before one was looked for.",
    ),
    "tidegate_request_seconds": Family(
        Kind.HISTOGRAM,
        (*_ROUTE, "part"),
        "Time until the answer's head was there, by where it was spent: gateway, store, upstream.",
    ),
    "tidegate_response_bytes": Family(Kind.COUNTER, _ROUTE, "Bytes of bodies that were sent."),
    "tidegate_requests_aborted": Family(
        Kind.COUNTER, _ROUTE, "Requests whose client left, or whose answer was cut."
    ),
    "tidegate_limit_decisions": Family(
        Kind.COUNTER, (*_ROUTE, "verdict"), "Decisions of the limits: admitted or refused."
    ),
    "tidegate_limit_refusals": Family(
        Kind.COUNTER,
        ("plan", "limit"),
        "Refusals by the limit that was reached. No plan: on a route without auth, or, with no "
        "limit either, beyond those counted apart.",
    ),
    "tidegate_limit_shadow_refusals": Family(
        Kind.COUNTER,
        ("plan", "limit"),
        "Requests that a limit in shadow mode would have refused. Labels as of refusals.",
    ),
    "tidegate_limit_near": Family(
        Kind.COUNTER,
        ("plan", "limit"),
        "Requests that found a limit at or beyond its warn_at. Labels as of refusals.",
    ),
    "tidegate_webhook_events": Family(
        Kind.COUNTER,
        ("outcome",),
        "Shares of quotas that were reached: written to the outbox, dropped for want of a place "
        "(offered again), or lost since the store did not take them.",
    ),
    "tidegate_webhook_attempts": Family(
        Kind.COUNTER,
        ("outcome",),
        "Attempts to deliver events: delivered, failed (tried again) or gone (410). Expired: "
        "events given up after the last of their attempts.",
    ),
    "tidegate_degraded_decisions": Family(
        Kind.COUNTER,
        ("mode",),
        "Decisions made without the store, which was away: open, closed or local.",
    ),
    "tidegate_cache_requests": Family(
        Kind.COUNTER,
        (*_ROUTE, "verdict"),
        "Look-ups in the cache: hit, miss, stale, revalidated or bypass.",
    ),
    "tidegate_upstream_connections": Family(
        Kind.GAUGE, ("service", "target", "state"), "Connections to services: busy or idle."
    ),
    "tidegate_upstream_waiting": Family(
        Kind.GAUGE, ("service", "target"), "Requests that wait for a connection to a service."
    ),
    "tidegate_upstream_connections_opened": Family(
        Kind.COUNTER, ("service", "target"), "Connections to services that were opened."
    ),
    "tidegate_store_trip_seconds": Family(
        Kind.HISTOGRAM, (), "From a write to the store until its last reply; a write at a time."
    ),
    "tidegate_store_up": Family(Kind.GAUGE, (), "Workers whose link to the store is up."),
    "tidegate_loop_lag_seconds": Family(
        Kind.HISTOGRAM, (), "By how much a timer of the event loop was late, four times a second."
    ),
    "tidegate_connections": Family(Kind.GAUGE, (), "Connections of clients that are open."),
    "tidegate_workers": Family(Kind.GAUGE, (), "Worker processes that are alive."),
    "tidegate_cpu_seconds": Family(Kind.COUNTER, (), "CPU time of the workers."),
    "tidegate_access_log_dropped": Family(
        Kind.COUNTER, (), "Lines of the access log that were not read fast enough."
    ),
    "tidegate_usage_lost": Family(
        Kind.COUNTER, (), "Requests missing in the usage: the store was away for too long."
    ),
    "tidegate_decision_records_dropped": Family(
        Kind.COUNTER, (), "Decision records beyond their bounds, or not taken by the store."
    ),
}


def add(total: Series, part: Series, *, with_gauges: bool) -> None:
    """Add `part` to `total`. What has no name here (of another version) is left out."""
    for name, values in part.items():
        family = FAMILIES.get(name)
        if family is None or (family.kind is Kind.GAUGE and not with_gauges):
            continue
        sums = total.setdefault(name, {})
        for labels, value in values.items():
            sums[labels] = _sum(sums.get(labels), value)


def _sum(one: Value | None, other: Value) -> Value:
    if isinstance(other, list):
        if not isinstance(one, list) or len(one) != len(other):
            return list(other)
        return [a + b for a, b in zip(one, other, strict=True)]
    return other + one if isinstance(one, (int, float)) else other
