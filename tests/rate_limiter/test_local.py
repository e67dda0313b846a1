"""A worker's part of a limit: the script's own rules, and N of them together never more than it."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import count
from math import ceil

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.rate_limiter.test_model import buckets, costs, plans, starts, window
from tidegate.config.schema import Limit, Quota, TokenBucket
from tidegate.config.units import Rate
from tidegate.rate_limiter import caller_counters
from tidegate.rate_limiter.limits import compiled_subject
from tidegate.rate_limiter.local import BucketPart, Part, QuotaPart, WindowPart, decide
from tidegate.rate_limiter.numbers import capacity, units
from tidegate.rate_limiter.units import Kind

SECOND = 10**6
HOUR = 3600 * SECOND
tenants = (f"local{number}" for number in count())
forward = st.one_of(
    st.integers(0, 3 * SECOND),
    st.integers(0, 3),
    st.sampled_from([142_857, 142_858, SECOND, 60 * SECOND, 3600 * SECOND, 86400 * SECOND]),
    st.integers(0, 40 * 86400 * SECOND),
)
with_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def part(limit: Limit, parts: int = 1) -> Part:
    kind, rate, emission = units(limit)
    if kind is Kind.BUCKET:
        return BucketPart(capacity(limit), rate, emission, parts)
    return QuotaPart(capacity(limit), lambda now: window(rate, now)[1], parts)


@with_server
@given(plans, starts, st.lists(st.tuples(forward, costs), max_size=25))
def test_one_part_of_one_answers_as_the_script_does(server_decide, limits, now, steps) -> None:
    subject = compiled_subject(caller_counters(next(tenants), "k", limits))
    parts = [part(limit) for limit in subject.limits]
    for move, cost in steps:
        now += move
        assert decide(parts, [cost] * len(parts), now) == server_decide(subject, cost, now)


@pytest.fixture
def server_decide(decide: Callable[..., list[int]]) -> Callable[..., list[int]]:
    return decide


def admitted_by(
    workers: Sequence[Part], steps: Sequence[tuple[int, int, int]], now: int
) -> list[tuple[int, int]]:
    """Let each step (worker, move, cost) be decided; return when how much was admitted."""
    passed = []
    for worker, move, cost in steps:
        now += move
        if decide([workers[worker % len(workers)]], [cost], now)[0]:
            passed.append((now, cost))
    return passed


small = st.integers(1, 12)
steps = st.lists(
    st.tuples(st.integers(0, 15), st.one_of(st.just(0), st.integers(0, 2 * SECOND)), small),
    max_size=80,
)
numbers = st.integers(1, 16)


@given(buckets("a", st.integers(1, 40)), starts, numbers, st.data(), steps)
def test_buckets_in_n_parts_admit_no_more_than_what_was_left_and_what_flowed_in(
    limit, now, number, data, steps
) -> None:
    """Pain points 3 and 16: limits that multiply by replica, and are wrong at low rates.

    Beyond what the limit would: at most a cost for each worker, where a part is smaller than one.
    """
    left = data.draw(st.integers(0, limit.burst))
    workers = [part(limit, number) for _ in range(number)]
    for worker in workers:
        worker.learn(left, now)
    passed = admitted_by(workers, steps, now)
    per_us = Fraction(limit.rate.count, limit.rate.period_s * SECOND)
    largest = max((cost for _, cost in passed), default=0)
    too_small = largest * number if limit.burst < largest * number else 0
    spent = 0
    for at, cost in passed:
        spent += cost
        assert spent <= left + per_us * (at - now) + too_small


@given(buckets("a", st.integers(1, 40)), starts, numbers, steps)
def test_buckets_in_n_parts_hold_together_no_more_than_the_burst(limit, now, number, steps) -> None:
    passed = admitted_by([part(limit, number) for _ in range(number)], steps, now)
    per_us = Fraction(limit.rate.count, limit.rate.period_s * SECOND)
    largest = max((cost for _, cost in passed), default=0)
    held = limit.burst + (largest * number if limit.burst < largest * number else 0)
    for index, (began, _) in enumerate(passed):
        spent = 0
        for at, cost in passed[index:]:
            spent += cost
            assert spent <= held + per_us * (at - began)


@given(st.integers(1, 40), starts, numbers, st.data(), steps)
def test_quotas_in_n_parts_admit_no_more_than_was_left_in_a_window(
    quota, now, number, data, steps
) -> None:
    limit = Quota(name="a", quota=Rate(quota, "hour"))
    left = data.draw(st.integers(0, quota))
    workers = [part(limit, number) for _ in range(number)]
    for worker in workers:
        worker.learn(left, now)
    passed = admitted_by(workers, steps, now)
    largest = max((cost for _, cost in passed), default=0)
    too_small = largest * number if quota < largest * number else 0
    spent_in: dict[int, int] = {}
    for at, cost in passed:
        spent_in[at // HOUR] = spent_in.get(at // HOUR, 0) + cost
    for hour, spent in spent_in.items():
        assert spent <= (left if hour == now // HOUR else quota) + too_small


@given(st.integers(1, 40), starts, numbers, st.data(), steps)
def test_windows_in_n_parts_admit_no_more_than_the_limit_in_any_window(
    most, now, number, data, steps
) -> None:
    length = 5 * SECOND
    left = data.draw(st.integers(0, most))
    workers = [WindowPart(most, length, number) for _ in range(number)]
    for worker in workers:
        worker.learn(left, now)
    passed = admitted_by(workers, steps, now)
    largest = max((cost for _, cost in passed), default=0)
    too_small = largest * number if most < largest * number else 0
    for began, _ in passed:
        spent = sum(cost for at, cost in passed if began <= at < began + length)
        assert spent <= most + too_small
    assert sum(cost for at, cost in passed if at < now + length) <= left + too_small


CLEAN_BESIDE_SPENT = (
    TokenBucket(name="a", rate=Rate(1, "second"), burst=2),
    Quota(name="b", quota=Rate(2, "minute")),
    TokenBucket(name="c", rate=Rate(1, "minute"), burst=2),
)


@given(plans, starts, numbers, st.lists(st.tuples(forward, small), max_size=25), small)
@example(CLEAN_BESIDE_SPENT, 50 * SECOND, 6, [(0, 1), (320 * SECOND, 1)], 2)
def test_who_waits_as_told_is_admitted_and_a_second_earlier_is_not(
    limits, now, number, steps, cost
) -> None:
    """A second earlier than the longest wait of those that refuse. A part that is smaller than the
    cost says that 1 is left and admits it when nothing is spent: so who reads the figures may wait
    for one that refuses nothing, longer than needed and never shorter.
    """
    parts = [part(limit, number) for limit in limits]
    for move, spent in steps:
        now += move
        decide(parts, [spent] * len(parts), now)
    cost = min(cost, *(capacity(limit) for limit in limits))
    refusing_us = max(each.wait_us(cost, now) for each in parts)
    admitted, *figures = decide(parts, [cost] * len(parts), now)
    assert admitted == (refusing_us == 0)
    if not admitted:
        remaining, seconds = figures[::2], figures[1::2]
        told_s = max(s for left, s in zip(remaining, seconds, strict=True) if left < cost)
        needed_s = ceil(Fraction(refusing_us, SECOND))
        assert told_s >= needed_s
        assert any(each.wait_us(cost, now + (needed_s - 1) * SECOND) for each in parts)
        assert decide(parts, [cost] * len(parts), now + told_s * SECOND)[0] == 1


def test_a_window_of_many_admissions_is_held_in_few_entries_and_ends() -> None:
    worker = WindowPart(10**6, 1000 * SECOND, 1)
    for at in range(0, 1000 * SECOND, SECOND // 20):
        assert decide([worker], [1], at)[0] == 1
    assert len(worker._entries) <= 1001
    assert worker.left(1000 * SECOND) >= 10**6 - 20_000
    assert worker.left(2000 * SECOND) == 10**6


def test_a_shadow_counts_and_never_refuses() -> None:
    real, shadow = WindowPart(10, HOUR, 1), WindowPart(2, HOUR, 1)
    replies = [decide([real, shadow], [1, 1], 0, shadows={1})[:4] for _ in range(4)]
    assert [reply[0] for reply in replies] == [1, 1, 1, 1]
    assert [reply[1] for reply in replies] == [9, 8, 7, 6]
    assert [reply[3] for reply in replies] == [1, 0, -1, -1]  # as the script tells a refusal


@pytest.mark.parametrize("parts", [1, 4])
def test_what_the_store_does_not_know_is_what_was_spent_here_and_counts_still(parts: int) -> None:
    bucket = TokenBucket(name="a", rate=Rate(1, "second"), burst=40)
    day = Quota(name="b", quota=Rate(100, "day"))
    for worker in (part(bucket, parts), part(day, parts), WindowPart(100, 60 * SECOND, parts)):
        worker.learn(worker.capacity - 8, 0)
        assert worker.unsettled(0) == 0
        worker.spend(6, 0)
        assert worker.unsettled(0) == worker.unsettled(8 * SECOND) == 6
        # What the store knows of a bucket has drained by then; what follows is its own.
        drained = ceil(2 / parts - 0.5) if isinstance(worker, BucketPart) else 0
        assert worker.unsettled(10 * SECOND) == 6 - drained
        worker.settle(6 - drained, 10 * SECOND)
        assert worker.unsettled(10 * SECOND) == 0
        worker.spend(2, 11 * SECOND)
        assert worker.unsettled(11 * SECOND) in (1, 2)  # a part of a token may have drained
    assert part(day).unsettled(86400 * SECOND) == 0


def test_a_later_word_of_the_store_only_takes_away() -> None:
    for worker in (
        part(TokenBucket(name="a", rate=Rate(1, "hour"), burst=40)),
        part(Quota(name="b", quota=Rate(40, "day"))),
        WindowPart(40, HOUR, 1),
    ):
        worker.spend(10, 0)
        worker.learn(35, SECOND)
        assert worker.left(SECOND) == 30
        worker.learn(5, 2 * SECOND)
        assert worker.left(2 * SECOND) == 5
