"""The larger script by example: sliding windows, leases, calendars, units, shadows, settling."""

from typing import Any, NamedTuple

import pytest

from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Subject
from tidegate.rate_limiter.limits import compiled_subject

SECOND = 10**6
HOUR = 3600 * SECOND
NOON = 1_764_072_000 * SECOND
"""2025-11-25 12:00 UTC."""


def bucket(rate: str, burst: int, name: str = "steady", **more: Any) -> TokenBucket:
    return TokenBucket(name=name, rate=parse_rate(rate), burst=burst, **more)


def window(rate: str, name: str = "window", **more: Any) -> SlidingWindow:
    return SlidingWindow(name=name, rate=parse_rate(rate), algorithm="sliding-window", **more)


def quota(rate: str, name: str = "daily", **more: Any) -> Quota:
    return Quota(name=name, quota=parse_rate(rate), **more)


def parallel(count: int, lease_s: float = 30.0, **more: Any) -> Concurrency:
    return Concurrency(name="parallel", concurrency=count, lease=lease_s, **more)


def subject(*limits: Limit, units: tuple[str, ...] = ("requests",), key: str = "k") -> Subject:
    return compiled_subject([Counter(b"tg:limits:{acme}:k:" + key.encode(), limits)], units)


class Case(NamedTuple):
    name: str
    limits: tuple[Limit, ...]
    asked: list[tuple[int, int, list[int]]]
    """(µs after noon, cost, reply)"""


CASES = [
    Case(
        "a sliding window gives again what is as old as it is long, and not before",
        (window("3/m"),),
        [
            (0, 1, [1, 2, 60]),
            (10 * SECOND, 2, [1, 0, 50]),
            (10 * SECOND, 1, [0, 0, 50]),
            (60 * SECOND - 1, 1, [0, 0, 1]),
            (60 * SECOND, 1, [1, 0, 10]),
            (60 * SECOND, 2, [0, 0, 10]),
            (70 * SECOND, 2, [1, 0, 50]),
        ],
    ),
    Case(
        "the end of a minute is no edge of a sliding window",
        (window("5/m"),),
        [(59 * SECOND, 5, [1, 0, 60]), (61 * SECOND, 1, [0, 0, 58])],
    ),
    Case(
        "of a refusal the wait is until the whole cost has room",
        (window("5/m"),),
        [
            (0, 1, [1, 4, 60]),
            (5 * SECOND, 1, [1, 3, 55]),
            (9 * SECOND, 3, [1, 0, 51]),
            (9 * SECOND, 2, [0, 0, 56]),
            (9 * SECOND, 3, [0, 0, 60]),
            (9 * SECOND, 6, [0, 0, 51]),
        ],
    ),
    Case(
        "the clock goes back: what it called later is now, and leaves a window's length from then",
        (window("3/m"),),
        [
            (0, 1, [1, 2, 60]),
            (30 * SECOND, 1, [1, 1, 30]),
            (-30 * SECOND, 1, [1, 0, 60]),
            (-30 * SECOND, 1, [0, 0, 60]),
            (30 * SECOND, 3, [1, 0, 60]),
        ],
    ),
    Case(
        "one limit refuses: a window beside it spends nothing",
        (bucket("1/h", 2), window("5/m")),
        [(0, 2, [1, 0, 3600, 3, 60]), (0, 1, [0, 0, 3600, 3, 60]), (0, 3, [0, 0, 3600, 3, 60])],
    ),
    Case(
        "a window refuses: a bucket beside it spends nothing",
        (bucket("1/h", 5), window("2/m")),
        [(0, 2, [1, 3, 3600, 0, 60]), (0, 1, [0, 3, 3600, 0, 60])],
    ),
    Case(
        "a quota's day is the day of its time zone",
        (quota("2/day", time_zone="Asia/Kolkata"),),
        [(0, 2, [1, 0, 6 * 3600 + 1800]), (6 * HOUR + HOUR // 2, 1, [1, 1, 86400])],
    ),
    Case(
        "a month begins with the billing day",
        (quota("2/month", billing_day=28),),
        [(0, 2, [1, 0, 2 * 86400 + 43200]), (60 * HOUR, 2, [1, 0, 30 * 86400])],
    ),
    Case(
        "a shadow never refuses, spends where it can, and says that it would have refused",
        (bucket("1/h", 9), bucket("1/h", 2, "new", shadow=True)),
        [
            (0, 1, [1, 8, 3600, 1, 3600]),
            (0, 2, [1, 6, 3600, -2, 3600]),
            (0, 1, [1, 5, 3600, 0, 3600]),
            (0, 1, [1, 4, 3600, -1, 3600]),
            (0, 5, [0, 4, 7200 - 3600, -1, 3600]),
        ],
    ),
    Case(
        "a shadow window",
        (window("9/m"), window("1/m", "new", shadow=True)),
        [(0, 1, [1, 8, 60, 0, 60]), (0, 1, [1, 7, 60, -1, 60])],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_replies(decide, case: Case) -> None:
    asked = subject(*case.limits)
    assert not asked.is_plain
    replies = [decide(asked, cost, NOON + after) for after, cost, _ in case.asked]
    assert replies == [reply for _, _, reply in case.asked]
