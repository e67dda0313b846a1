"""The larger script by example: sliding windows, leases, calendars, units, shadows, settling."""

from typing import Any

import pytest
import redis

from tests.rate_limiter.test_decide import Case
from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Subject
from tidegate.rate_limiter.decision import decision
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


def settle(decide, asked: Subject, differences: tuple[int, ...], age: int, now: int) -> None:
    decide(asked, differences, now, age=b"%d" % age)


def test_the_store_s_clock_chooses_the_window_not_the_gateway_s(decide) -> None:
    """A gateway whose clock is a whole window behind or ahead."""
    for days in (-1, 0, 1):
        calendars = subject(quota("5/day", time_zone="Europe/Berlin"), key=str(days))
        assert calendars.boundaries is not None
        boundaries = calendars.boundaries.packed(NOON + days * 24 * HOUR)
        assert decide(calendars, 1, NOON, boundaries=boundaries) == [1, 4, 11 * 3600]


def test_a_window_next_to_the_gateway_s_is_as_long_as_it_is(decide) -> None:
    asked = subject(quota("5/month", time_zone="Africa/Lagos"))  # no clocks change there
    assert asked.boundaries is not None
    december = NOON + (5 * 24 + 11) * HOUR
    for gateway, store, ends in (
        (december - 1, december, december + 31 * 24 * HOUR),
        (december, december - 1, december),
        (december + 31 * 24 * HOUR, december, december + 31 * 24 * HOUR),
    ):
        boundaries = asked.boundaries.packed(gateway)
        wait_s = -(-(ends - store) // SECOND)
        assert decide(asked, 0, store, boundaries=boundaries) == [1, 5, wait_s]


def test_a_gateway_s_clock_far_away_gives_windows_of_the_same_length(decide) -> None:
    asked = subject(quota("5/day", time_zone="Europe/Berlin"))
    assert asked.boundaries is not None
    for days in (-9, 9):
        boundaries = asked.boundaries.packed(NOON + days * 24 * HOUR)
        assert decide(asked, 0, NOON, boundaries=boundaries) == [1, 5, 11 * 3600]


@pytest.mark.parametrize("kind", [bucket("1/h", 5), window("5/h"), quota("5/day", billing_day=1)])
def test_more_than_there_is_can_be_owed_up_to_one_capacity(decide, kind) -> None:
    asked = compiled_subject([Counter(b"tg:limits:{acme}:k:k", (kind,))], may_be_plain=False)
    assert decide(asked, 5, NOON)[:2] == [1, 0]
    settle(decide, asked, (3,), SECOND, NOON)
    assert decide(asked, 1, NOON)[:2] == [0, 0]
    settle(decide, asked, (-4,), SECOND, NOON)
    assert decide(asked, 0, NOON)[1] == 1
    for _ in range(3):
        settle(decide, asked, (100,), SECOND, NOON)
    settle(decide, asked, (-6,), SECOND, NOON)
    assert decide(asked, 0, NOON)[1] == 1


def test_the_smaller_script_keeps_to_what_is_owed(decide) -> None:
    counter = Counter(b"tg:limits:{acme}:k:k", (bucket("1/m", 5),))
    plain, full = (compiled_subject([counter], may_be_plain=may) for may in (True, False))
    assert decide(plain, 5, NOON) == [1, 0, 60]
    settle(decide, full, (3,), 0, NOON)
    assert decide(plain, 1, NOON) == [0, 0, 240]
    assert decide(plain, 0, NOON)[1:] == [0, 240]
    assert decide(plain, 1, NOON + 239 * SECOND) == [0, 0, 1]
    assert decide(plain, 1, NOON + 240 * SECOND) == [1, 0, 60]


def test_a_cost_of_nothing_is_never_refused(decide) -> None:
    """Though more is owed, or a lower quota holds less than was spent."""
    counter = Counter(b"tg:limits:{acme}:k:k", (bucket("1/m", 5), quota("9/day")))
    plain, full = (compiled_subject([counter], may_be_plain=may) for may in (True, False))
    decide(plain, 5, NOON)
    settle(decide, full, (9,), 0, NOON)
    for asked in (plain, full):
        assert decide(asked, 0, NOON)[0] == 1
        assert decision(asked, (0,), list(decide(asked, 0, NOON))).allowed


def test_a_lowered_quota_is_not_given_anew_by_a_settlement(decide) -> None:
    before = compiled_subject(
        [Counter(b"tg:limits:{acme}:k:k", (quota("9/day"),))], may_be_plain=False
    )
    after = compiled_subject(
        [Counter(b"tg:limits:{acme}:k:k", (quota("2/day"),))], may_be_plain=False
    )
    decide(before, 9, NOON)
    settle(decide, after, (1,), 0, NOON)
    assert decide(before, 0, NOON)[1] == 0


def test_units_are_charged_apart_and_what_no_limit_counts_is_not_asked(decide) -> None:
    limits = (bucket("1/h", 5), bucket("1/h", 900, "tokens", unit="tokens"))
    both, requests = subject(*limits, units=("requests", "tokens")), subject(*limits)
    assert [limit.name for limit in requests.limits] == ["steady"]
    assert requests.is_plain
    assert decide(both, (1, 500), NOON)[1::2] == [4, 400]
    assert decide(both, (1, 500), NOON) == [0, 4, 3600, 400, 100 * 3600]
    assert decide(both, (1, 0), NOON)[1::2] == [3, 400]
    assert decide(requests, 1, NOON)[1::2] == [2]
    assert both.capacity_of("tokens") == 900
    settle(decide, both, (0, -500), SECOND, NOON)
    assert decide(both, (0, 0), NOON)[1::2] == [2, 900]


def test_a_lease_ends_by_itself_or_is_released(decide, server: redis.Redis) -> None:
    """Pain point 4: a slot that is never released after a cancellation."""
    asked = subject(parallel(2))
    one, two, three = (b"one", b"two", b"three")
    assert decide(asked, 1, NOON, lease=one) == [1, 1, 30, one]
    assert decide(asked, 1, NOON + 10 * SECOND, lease=two) == [1, 0, 20, two]
    assert decide(asked, 1, NOON + 10 * SECOND, lease=three) == [0, 0, 20]
    ((key, _),) = asked.leases
    assert server.zrange(key, 0, -1) == [one, two]
    server.zrem(key, one)
    assert decide(asked, 1, NOON + 10 * SECOND, lease=three) == [1, 0, 30, three]
    assert decide(asked, 1, NOON + 40 * SECOND, lease=one) == [1, 1, 30, one]


def test_a_lease_costs_one_whatever_the_request_costs(decide) -> None:
    asked = subject(bucket("1/h", 100), parallel(2))
    assert decide(asked, 50, NOON, lease=b"one") == [1, 50, 3600, 1, 30, b"one"]
    assert decide(asked, 60, NOON, lease=b"two") == [0, 50, 36000, 1, 30]


def test_a_clock_that_went_back_keeps_no_lease_for_longer_than_it_lasts(decide) -> None:
    asked = subject(parallel(2))
    decide(asked, 1, NOON + HOUR, lease=b"dead")
    assert decide(asked, 1, NOON, lease=b"one")[:2] == [1, 0]
    assert decide(asked, 1, NOON + 30 * SECOND - 1, lease=b"two") == [0, 0, 1]
    assert decide(asked, 1, NOON + 30 * SECOND, lease=b"two")[:2] == [1, 1]


def test_a_large_window_has_a_thousand_entries_and_is_never_over(
    decide, server: redis.Redis
) -> None:
    asked = subject(window("100000/s"))
    admitted = sum(decide(asked, 10, NOON + at)[0] for at in range(0, 2 * SECOND, 50))
    (key,) = asked.keys
    assert server.llen(key) <= 1002
    assert 0.999 * 20_000 <= admitted <= 20_000


def test_windows_and_leases_end_in_the_store(decide, server: redis.Redis) -> None:
    asked = subject(window("5/m"), parallel(5))
    decide(asked, 1, lease=b"one")
    lasts = sorted(server.pttl(key) for key in asked.keys)
    assert 29_000 < lasts[0] <= 30_001
    assert 59_000 < lasts[1] <= 60_001
    decide(asked, 0)
    assert server.dbsize() == 2


def test_asking_what_is_left_writes_nothing(decide, server: redis.Redis) -> None:
    asked = subject(window("5/m"), parallel(5), quota("5/day", time_zone="Asia/Tokyo"))
    assert decide(asked, 0)[1::2][1:] == [5, 5]
    assert server.dbsize() == 0


def test_what_an_ended_window_was_charged_is_not_given_back_to_the_next(decide) -> None:
    for number, kind in enumerate((quota("5/day", time_zone="Asia/Tokyo"), window("5/m"))):
        asked = subject(kind, key=str(number))
        later = NOON + (3 * HOUR if isinstance(kind, Quota) else 60 * SECOND)
        decide(asked, 5, later - 10 * SECOND)
        after = later if isinstance(kind, Quota) else later - 10 * SECOND + 60 * SECOND
        assert decide(asked, 2, after + SECOND)[:2] == [1, 3]
        settle(decide, asked, (-2,), after + 2 * SECOND - (later - 10 * SECOND), after + 2 * SECOND)
        assert decide(asked, 0, after + 2 * SECOND)[1] == 3
        settle(decide, asked, (-2,), SECOND, after + 2 * SECOND)
        assert decide(asked, 0, after + 2 * SECOND)[1] == 5
