"""A limit in numbers, as the script reads it, and in words for people."""

from functools import lru_cache
from hashlib import blake2b
from math import ceil
from typing import Final

from tidegate.config.limit_words import admits
from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.rate_limiter.calendars import calendar_of
from tidegate.rate_limiter.units import SECOND_US, Kind, Units, bucket_units

IDENTITY_BYTES: Final = 6
CALENDAR: Final = 2**31
"""From here on the rate of a quota is the number of its calendar."""
UNITS_MAX: Final = 16
"""Units that one request costs: half a byte in the script."""
COST_BYTES: Final = 4
COST_MAX: Final = 2 * 10**9
"""Two of the largest capacities: more than any settlement can charge."""
LENT: Final = 10
"""Workers may hold one part in so many of the smallest capacity, all of them together."""
SHADOW: Final = 128
WINDOW: Final = 16
LEASE: Final = 32
TRAITS_SIZE: Final = 22
"""Bytes of a limit with its traits."""
KEPT_MAX: Final = 1024
"""Limits that are kept packed, about 0.5 KB each: of a limit by address, every new address is
compiled, and packing was most of that."""


def capacity(limit: Limit) -> int:
    """Return the most that can ever be spent at once."""
    match limit:
        case TokenBucket():
            return limit.burst
        case SlidingWindow():
            return limit.rate.count
        case Quota():
            return limit.quota.count
        case Concurrency():
            return limit.concurrency


def window_s(limit: Limit) -> int | None:
    """Return the seconds in which the limit renews itself; None where they are not fixed."""
    match limit:
        case TokenBucket():
            return ceil(limit.burst * limit.rate.period_s / limit.rate.count)
        case SlidingWindow():
            return limit.rate.period_s
        case Quota():
            return None if limit.quota.period == "month" else limit.quota.period_s
        case Concurrency():
            return None


def quota_unit(limit: Limit) -> str | None:
    """Return what the limit counts, as RateLimit-Policy says it; None: requests."""
    if isinstance(limit, Concurrency):
        return "concurrent-requests"
    return None if limit.unit == "requests" else limit.unit


def described(limit: Limit) -> str:
    """Return the limit in words for people."""
    return f'"{limit.name}" ({admits(limit)}, per {limit.per})'


def is_plain(limit: Limit) -> bool:
    """Return whether the smaller script knows all of it."""
    if limit.shadow or limit.unit != "requests":
        return False
    if isinstance(limit, Quota):
        return calendar_of(limit) is None
    return isinstance(limit, TokenBucket)


def is_lent(limit: Limit) -> bool:
    """Return whether workers may borrow its tokens."""
    return isinstance(limit, TokenBucket | Quota) and limit.precision == "leased"


def is_packed(limit: Limit) -> bool:
    """Return whether it is counted in the state's own string."""
    return isinstance(limit, TokenBucket | Quota)


def units(limit: Limit) -> Units:
    """Return the numbers that the script counts in.

    A quota's rate is its period in seconds, a month 0; of a window and a lease, `emission` is how
    long it is, in µs.
    """
    match limit:
        case TokenBucket():
            return bucket_units(limit.rate, limit.burst)
        case SlidingWindow():
            return Units(Kind.BUCKET, 0, limit.rate.period_s * SECOND_US)
        case Quota():
            return Units(Kind.QUOTA, window_s(limit) or 0, 1)
        case Concurrency():
            return Units(Kind.BUCKET, 0, round(limit.lease * SECOND_US))


def identity(limit: Limit) -> int:
    """Return what a state knows the limit by: its name, and whether it is a quota."""
    digest = blake2b(limit.name.encode(), digest_size=IDENTITY_BYTES).digest()
    return int.from_bytes(digest) // 2 * 2 + units(limit).kind


@lru_cache(maxsize=KEPT_MAX)
def packed_limit(limit: Limit, calendar: int | None = None) -> bytes:
    """Return the limit as the script reads it: identity, rate, emission, capacity."""
    _, rate, emission = units(limit)
    if calendar is not None:
        rate = CALENDAR + calendar
    return b"".join(
        number.to_bytes(size)
        for number, size in (
            (identity(limit), IDENTITY_BYTES),
            (rate, 4),
            (emission, 7),
            (capacity(limit), 4),
        )
    )


def traits(limit: Limit, unit: int) -> bytes:
    """Return the byte by which the larger script knows more of the limit."""
    kind = WINDOW if isinstance(limit, SlidingWindow) else LEASE if is_lease(limit) else 0
    return bytes((unit + kind + (SHADOW if limit.shadow else 0),))


def is_lease(limit: Limit) -> bool:
    return isinstance(limit, Concurrency)


def near_at(limit: Limit) -> int:
    """Return at how much remaining the limit is near, or -1: it is never told of."""
    if limit.warn_at is None:
        return -1
    whole = capacity(limit)
    return whole - ceil(round(whole * limit.warn_at, 6))
