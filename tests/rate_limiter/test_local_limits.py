"""A worker's parts: shared by all who count in the same state, bounded, settled a few at a time."""

import asyncio
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rate_limiter.test_model import limit_named, starts
from tidegate.config.schema import Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import Rate
from tidegate.rate_limiter import Counter, Subject, caller_counters
from tidegate.rate_limiter import local_limits as local_limits_module
from tidegate.rate_limiter import recovery as recovery_module
from tidegate.rate_limiter.limits import compiled_subject
from tidegate.rate_limiter.local_limits import LocalLimits, Place
from tidegate.rate_limiter.recovery import Recovery

SECOND = 10**6
NOW = 10**15


def subject(key: str, *limits: Limit) -> Subject:
    return compiled_subject(caller_counters("acme", key, limits))


def of_one_worker() -> LocalLimits:
    return LocalLimits(lambda: 1, lambda _: 0)


def heard(who: Subject, *remaining: int, at: float = 1.0) -> Subject:
    """Let this be what the store said last was left."""
    who.last[:] = [tuple(figure for left in remaining for figure in (left, 0)), at]
    return who


def shared(burst: int = 10) -> TokenBucket:
    return TokenBucket(name="shared", rate=Rate(1, "hour"), burst=burst, per="tenant")


@st.composite
def any_limit(draw: st.DrawFn, name: str) -> Limit:
    windows = st.builds(
        SlidingWindow,
        name=st.just(name),
        rate=st.builds(
            Rate, st.sampled_from([1, 3, 12, 1000, 1001, 5000]), st.sampled_from(["second", "hour"])
        ),
        algorithm=st.just("sliding-window"),
    )
    limit: Limit = draw(st.one_of(limit_named(name), windows))
    unit = draw(st.sampled_from(["requests", "requests", "tokens"]))
    return limit.model_copy(update={"shadow": draw(st.booleans()), "unit": unit})


any_plan = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.tuples(*map(any_limit, names))
)
forward = st.one_of(st.integers(0, 3), st.integers(0, 3 * SECOND), st.integers(0, 4000 * SECOND))
both_costs = st.tuples(st.integers(1, 20), st.integers(0, 900))
callers = count()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(any_plan, starts, st.lists(st.tuples(forward, both_costs), max_size=25))
def test_a_worker_that_is_alone_answers_as_the_script_does(decide, limits, now, steps) -> None:
    state = b"tg:limits:{local}:k:%d" % next(callers)
    who = compiled_subject((Counter(state, limits),), ("requests", "tokens"))
    local = of_one_worker()
    for move, costs in steps:
        now += move
        reply = decide(who, costs if not who.is_plain else costs[:1], now)
        assert local.decide(who, costs, now, now) == list(reply)


def test_a_large_window_shares_entries_as_the_script_does(decide) -> None:
    large = SlidingWindow(name="w", rate=Rate(1800, "second"), algorithm="sliding-window")
    who = compiled_subject((Counter(b"tg:limits:{local}:k:large", (large,)),))
    local = of_one_worker()
    slot = 1000  # of a second's window a thousandth, in µs
    admitted = []
    for at in (0, slot - 1, slot, SECOND, SECOND + slot - 2, SECOND + slot - 1, SECOND + slot):
        reply = local.decide(who, (600,), NOW + at, NOW)
        assert reply == list(decide(who, 600, NOW + at))
        admitted.append(reply[0])
    assert admitted == [1, 1, 1, 0, 0, 1, 1]


def test_all_who_count_in_a_state_share_its_part_and_the_lowest_word_holds() -> None:
    local = of_one_worker()
    one, two = heard(subject("one", shared()), 8), heard(subject("two", shared()), 5, at=2.0)
    assert local.decide(one, (1,), NOW, NOW)[:2] == [1, 7]
    assert local.decide(two, (1,), NOW, NOW)[:2] == [1, 4]
    assert local.decide(one, (5,), NOW, NOW)[:2] == [0, 4]
    assert len(local.places()) == 1


def test_a_word_is_taken_once() -> None:
    local = of_one_worker()
    one = heard(subject("one", shared()), 2)
    asked = [local.decide(one, (1,), NOW + at, NOW)[0] for at in range(4)]
    assert asked == [1, 1, 0, 0]


def test_the_part_that_was_not_used_for_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_limits_module, "PARTS_MAX", 2)
    local = of_one_worker()
    own = TokenBucket(name="own", rate=Rate(1, "hour"), burst=1)
    first, second, third = (subject(name, own) for name in ("first", "second", "third"))
    for who in (first, second, first, third):
        local.decide(who, (1,), NOW, NOW)
    assert len(local.places()) == 2
    assert local.decide(first, (1,), NOW, NOW)[0] == 0
    assert local.decide(second, (1,), NOW, NOW)[0] == 1


def test_a_part_that_was_forgotten_begins_again_with_what_the_store_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood of strangers in an outage gives nobody a full limit again."""
    monkeypatch.setattr(local_limits_module, "PARTS_MAX", 2)
    local = of_one_worker()
    spent = heard(subject("spent", shared()), 0)
    assert local.decide(spent, (1,), NOW, NOW)[0] == 0
    own = TokenBucket(name="own", rate=Rate(1, "hour"), burst=1)
    for value in range(3):
        local.decide(subject(f"value_{value}", own), (1,), NOW, NOW)
    assert local.decide(spent, (1,), NOW, NOW)[0] == 0


def test_a_quota_ends_where_its_calendar_says() -> None:
    local = of_one_worker()
    day = Quota(name="day", quota=Rate(1, "day"), time_zone="Asia/Kolkata")
    who = subject("one", day)
    noon = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * SECOND  # 17:30 there
    assert local.decide(who, (1,), noon, noon) == [1, 0, 23_400]
    assert local.decide(who, (1,), noon + 23_399 * SECOND, noon)[0] == 0
    assert local.decide(who, (1,), noon + 23_400 * SECOND, noon)[0] == 1


@pytest.mark.parametrize("moved_at", ["2026-10-03T15:30", "2026-04-04T15:00"])
def test_a_quota_holds_while_clocks_move_by_half_an_hour(moved_at) -> None:
    hourly = Quota(name="h", quota=Rate(1, "hour"), time_zone="Australia/Lord_Howe")
    at = int(datetime.fromisoformat(moved_at).replace(tzinfo=UTC).timestamp()) * SECOND
    local, who, minute = of_one_worker(), subject("one", hourly), 60 * SECOND
    asked = range(at - 180 * minute, at + 180 * minute, minute)
    assert sum(local.decide(who, (1,), now, now)[0] for now in asked) == 6


def test_each_limit_counts_in_its_own_unit() -> None:
    local = of_one_worker()
    tokens = TokenBucket(name="t", rate=Rate(100, "hour"), burst=100, unit="tokens")
    window = SlidingWindow(name="w", rate=Rate(2, "minute"), algorithm="sliding-window")
    counters = (Counter(b"state", (tokens, window)),)
    who = compiled_subject(counters, ("requests", "tokens"))
    assert local.decide(who, (1, 60), NOW, NOW)[:4] == [1, 40, 36, 1]
    assert local.decide(who, (1, 60), NOW, NOW)[:2] == [0, 40]
    assert local.decide(who, (1, 40), NOW, NOW)[:2] == [1, 0]
    assert local.decide(who, (1, 0), NOW, NOW)[0] == 0  # two requests in this minute


async def test_what_is_settled_is_told_a_few_limits_at_a_time_and_again_where_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery_module, "SETTLED_MAX", 2)
    local = of_one_worker()
    own = TokenBucket(name="own", rate=Rate(1, "hour"), burst=9)
    for name in ("a", "b", "c", "d", "e"):
        local.decide(subject(name, own), (3,), NOW, NOW)
    told: list[tuple[bytes, int]] = []
    failing = {b"tg:limits:{acme}:k:b"}

    def charge(place: Place, amount: int) -> asyncio.Future[Any]:
        told.append((place.state[-1:], amount))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if place.state in failing:
            failing.clear()
            answer.set_exception(OSError())
        else:
            answer.set_result(None)
        return answer

    recovery = Recovery(local, charge)
    recovery.begin()
    steps = []
    for _ in range(4):
        steps.append(recovery.go_on(NOW))
        await asyncio.sleep(0)
    assert told == [(name, 3) for name in (b"a", b"b", b"c", b"d", b"e", b"b")]
    assert steps == [True, True, False, False]
    recovery.begin()
    assert not recovery.go_on(NOW)
    assert len(told) == 6
