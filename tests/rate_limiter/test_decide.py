"""The script by example: what is admitted, what waits, and what becomes of state."""

from typing import NamedTuple

import pytest
import redis

from tidegate.config.schema import Limit, Quota, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Subject
from tidegate.rate_limiter.limits import caller_counters, compiled_subject

SECOND = 10**6
HOUR = 3600 * SECOND
NOON = 1_764_072_000 * SECOND
"""2025-11-25 12:00 UTC."""


def bucket(rate: str, burst: int, name: str = "steady", per: str = "key") -> TokenBucket:
    return TokenBucket.model_validate({"name": name, "rate": rate, "burst": burst, "per": per})


def quota(rate: str, name: str = "daily", per: str = "key") -> Quota:
    return Quota(name=name, quota=parse_rate(rate), per=per)  # type: ignore[arg-type]


def subject(*limits: Limit, key: str = "k") -> Subject:
    return compiled_subject(caller_counters("acme", key, limits))


class Case(NamedTuple):
    name: str
    limits: tuple[Limit, ...]
    asked: list[tuple[int, int, list[int]]]
    """(µs after noon, cost, reply)"""


CASES = [
    Case(
        "a bucket gives its burst, then its rate",
        (bucket("1/s", 2),),
        [
            (0, 1, [1, 1, 1]),
            (0, 1, [1, 0, 1]),
            (0, 1, [0, 0, 1]),
            (SECOND - 1, 1, [0, 0, 1]),
            (SECOND, 1, [1, 0, 1]),
        ],
    ),
    Case(
        "seconds are until the next token, and of a refusal until the cost",
        (bucket("1/m", 100),),
        [(0, 98, [1, 2, 60]), (30 * SECOND, 1, [1, 1, 30]), (30 * SECOND, 3, [0, 1, 90])],
    ),
    Case(
        "seven a second is no whole number of microseconds: the last is rounded against the client",
        (bucket("7/s", 1),),
        [(0, 1, [1, 0, 1]), (142_857, 1, [0, 0, 1]), (142_858, 1, [1, 0, 1])],
    ),
    Case(
        "rounding does not add up: seven tokens take a second, not a microsecond more",
        (bucket("7/s", 7),),
        [(0, 1, [1, left, 1]) for left in range(6, -1, -1)]
        + [(SECOND - 1, 7, [0, 6, 1]), (SECOND, 7, [1, 0, 1])],
    ),
    Case(
        "a quota begins anew with its day",
        (quota("2/day"),),
        [
            (0, 2, [1, 0, 43200]),
            (12 * HOUR - 1, 1, [0, 0, 1]),
            (12 * HOUR, 1, [1, 1, 86400]),
        ],
    ),
    Case(
        "one limit refuses: the others spend nothing",
        (bucket("1/h", 5), quota("3/day"), quota("2/month", "monthly", per="tenant")),
        [
            (0, 2, [1, 3, 3600, 1, 43200, 0, 475200]),
            (0, 1, [0, 3, 3600, 1, 43200, 0, 475200]),
            (0, 2, [0, 3, 3600, 1, 43200, 0, 475200]),
            (0, 4, [0, 3, 3600, 1, 43200, 0, 475200]),
        ],
    ),
    Case(
        "a cost above a capacity is refused though all is full",
        (bucket("1/s", 2),),
        [(0, 3, [0, 2, 0]), (0, 2, [1, 0, 1])],
    ),
    Case(
        "a billion tokens",
        (bucket("1000000/s", 10**9),),
        [(0, 10**6, [1, 10**9 - 10**6, 1]), (SECOND, 1, [1, 10**9 - 1, 1])],
    ),
    Case(
        "a month's bucket of odd numbers stays exact to the token",
        (bucket("999999937/month", 10**9),),
        [(0, 10**6, [1, 999_000_000, 1]), (SECOND, 1, [1, 999_000_384, 1])],
    ),
    Case(
        "the clock goes back: the bucket counts from there, empty at worst",
        (bucket("1/s", 3),),
        [
            (0, 1, [1, 2, 1]),
            (-SECOND, 1, [1, 0, 1]),
            (-HOUR, 1, [0, 0, 1]),
            (-HOUR + SECOND, 1, [1, 0, 1]),
        ],
    ),
    Case(
        "the clock steps back over midnight: the day stays and is not granted twice",
        (quota("2/day"),),
        [
            (12 * HOUR - 1, 2, [1, 0, 1]),
            (12 * HOUR, 1, [1, 1, 86400]),
            (12 * HOUR - 1, 1, [1, 0, 86401]),
            (12 * HOUR - 1, 1, [0, 0, 86401]),
        ],
    ),
    Case(
        "the clock was days ahead: what is spent counts today, and tomorrow is a new day",
        (quota("2/day"),),
        [
            (96 * HOUR, 2, [1, 0, 43200]),
            (0, 1, [0, 0, 43200]),
            (12 * HOUR, 1, [1, 1, 86400]),
        ],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_replies(decide, case: Case) -> None:
    asked = subject(*case.limits)
    replies = [decide(asked, cost, NOON + after) for after, cost, _ in case.asked]
    assert replies == [reply for _, _, reply in case.asked]


def test_limits_are_matched_by_name_when_others_come_and_go(decide) -> None:
    daily, monthly = quota("10/day"), quota("10/month", "monthly")
    assert decide(subject(bucket("1/h", 5), daily), 3, NOON)[1::2] == [2, 7]
    assert decide(subject(monthly, daily, bucket("1/h", 5)), 1, NOON)[1::2] == [9, 6, 1]
    assert decide(subject(monthly), 1, NOON)[1::2] == [8]
    assert decide(subject(bucket("1/h", 5), daily), 1, NOON)[1::2] == [0, 5]


def test_a_limit_s_new_rate_keeps_the_time_at_which_it_is_full(decide) -> None:
    """Half a second of debt is 50 tokens at 100/s, and 2.5 at 5/s."""
    assert decide(subject(bucket("100/s", 200)), 51, NOON)[1] == 149
    assert decide(subject(bucket("5/s", 10)), 1, NOON + SECOND // 100)[1] == 6


def test_a_fraction_of_a_microsecond_is_none_at_another_rate(decide) -> None:
    """Free after 1.000001 µs at the one rate: that is 2 µs, not the fraction taken for units."""
    assert decide(subject(bucket("999999/s", 9)), 1, NOON)[1] == 8
    assert decide(subject(bucket("1/s", 9)), 1, NOON)[1] == 7


def test_a_smaller_burst_is_empty_at_worst(decide) -> None:
    assert decide(subject(bucket("1/s", 200)), 150, NOON)[1] == 50
    assert decide(subject(bucket("1/s", 10)), 1, NOON) == [0, 0, 1]
    assert decide(subject(bucket("1/s", 10)), 1, NOON + SECOND) == [1, 0, 1]


@pytest.mark.parametrize("periods", [("day", "hour"), ("hour", "day")])
def test_a_quota_s_new_period_keeps_what_is_spent(decide, periods) -> None:
    before, after = (subject(quota(f"5/{period}")) for period in periods)
    assert decide(before, 4, NOON)[1] == 1
    assert decide(after, 1, NOON)[1] == 0
    assert decide(after, 1, NOON)[0] == 0


def test_a_full_quota_shortened_to_hours_ends_with_the_hour(decide) -> None:
    assert decide(subject(quota("5/day")), 5, NOON)[1] == 0
    assert decide(subject(quota("5/hour")), 1, NOON) == [0, 0, 3600]
    assert decide(subject(quota("5/hour")), 1, NOON + HOUR) == [1, 4, 3600]


def test_a_bucket_and_a_quota_of_one_name_are_two_limits(decide) -> None:
    assert decide(subject(bucket("1/h", 5, name="a")), 5, NOON)[1] == 0
    assert decide(subject(quota("5/day", name="a")), 1, NOON)[1] == 4


def test_keys_of_a_tenant_share_only_what_counts_per_tenant(decide) -> None:
    limits = (bucket("1/h", 5), quota("10/day", per="tenant"))
    assert decide(subject(*limits, key="one"), 3, NOON)[1::2] == [2, 7]
    assert decide(subject(*limits, key="two"), 3, NOON)[1::2] == [2, 4]


def test_records_of_limits_that_went_are_bounded_and_end(decide, server: redis.Redis) -> None:
    for number in range(30):
        decide(subject(quota("5/day", name=f"limit{number}")), 1, NOON)
    (state,) = server.keys("tg:limits:*")
    assert server.strlen(state) == 9 * 21
    decide(subject(bucket("1/s", 1)), 1, NOON + 12 * HOUR)
    assert server.strlen(state) == 21


def test_a_state_ends_when_all_is_full_again(decide, server: redis.Redis) -> None:
    one, other = subject(bucket("1/s", 100), key="one"), subject(quota("5/h"), key="other")
    decide(one, 30)
    decide(other, 1)
    now_s, now_us = server.time()
    assert 29_000 < server.pttl(one.keys[0]) <= 30_001
    left_ms = (3600 - now_s % 3600) * 1000 - now_us / 1000
    assert left_ms - 1000 < server.pttl(other.keys[0]) <= left_ms + 1000


def test_a_state_ends_in_the_millisecond_after_its_record_and_not_before(
    decide, server: redis.Redis
) -> None:
    asked = subject(bucket("999/s", 100_000))
    for cost in (9_999, 10_001, 20_011):
        decide(asked, cost)
        full_us = int.from_bytes(server.getrange(asked.keys[0], 6, 12))
        assert server.pexpiretime(asked.keys[0]) == -(-full_us // 1000)


def test_a_refusal_writes_nothing(decide, server: redis.Redis) -> None:
    asked = subject(bucket("1/h", 1), quota("5/day", per="tenant"))
    decide(asked, 1)
    states = [(server.get(key), server.pexpiretime(key)) for key in asked.keys]
    assert decide(asked, 1)[0] == 0
    assert states == [(server.get(key), server.pexpiretime(key)) for key in asked.keys]


def test_no_state_is_needed_where_nothing_was_spent(decide, server: redis.Redis) -> None:
    assert decide(subject(bucket("1/h", 1)), 2)[0] == 0
    assert server.dbsize() == 0


@pytest.mark.parametrize("foreign", [b"nonsense", b"x" * 22])
def test_a_state_of_another_form_is_an_error_and_never_an_admission(
    decide, server: redis.Redis, foreign: bytes
) -> None:
    asked = subject(bucket("1/h", 1))
    server.set(asked.keys[0], foreign)
    with pytest.raises(redis.ResponseError):
        decide(asked, 1)
    server.delete(asked.keys[0])
    server.hset(asked.keys[0], "a", "b")
    with pytest.raises(redis.ResponseError):
        decide(asked, 1)
