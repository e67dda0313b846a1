"""A limit in words for people: what it allows and what is special about it, not whose it is."""

from tidegate.config.limits import (
    REQUESTS,
    Concurrency,
    Limit,
    LimitEntry,
    NoLimit,
    Quota,
    SlidingWindow,
    TokenBucket,
)
from tidegate.config.units import Rate


def admits(limit: Limit) -> str:
    """Return `5/second, burst 10`, `1000/month from day 15 (Europe/Berlin)`, `10 at a time`."""
    match limit:
        case TokenBucket():
            return f"{_each(limit.rate, limit.unit)}, burst {limit.burst}"
        case SlidingWindow():
            return f"{_counted(limit.rate, limit.unit)} in any {limit.rate.period}"
        case Quota():
            return _each(limit.quota, limit.unit) + _begin(limit)
        case Concurrency():
            return f"{limit.concurrency} at a time"


def allows(limit: LimitEntry) -> str:
    """Return what it admits, and what is special about it."""
    if isinstance(limit, NoLimit):
        return "taken away"
    words = [admits(limit)]
    if isinstance(limit, TokenBucket | Quota) and limit.precision != "exact":
        words.append(limit.precision)
    if limit.on_missing is not None:
        words.append(f"without {limit.header}: {limit.on_missing}")
    if limit.shadow:
        words.append("in shadow, never refuses")
    return ", ".join(words)


def _each(rate: Rate, unit: str) -> str:
    """Return `5/second`, `1000 tokens/minute`."""
    return f"{_counted(rate, unit)}/{rate.period}"


def _counted(rate: Rate, unit: str) -> str:
    return f"{rate.count}" if unit == REQUESTS else f"{rate.count} {unit}"


def _begin(limit: Quota) -> str:
    day = f" from day {limit.billing_day}" if limit.billing_day != 1 else ""
    return day + (f" ({limit.time_zone})" if limit.time_zone != "UTC" else "")
