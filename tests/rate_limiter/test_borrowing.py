"""Borrowed tokens: never more than a tenth beyond the exact limit, and few trips for a hot key."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from itertools import accumulate, count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.config.limits import Limit, Quota, TokenBucket
from tidegate.config.units import Rate
from tidegate.rate_limiter import Costs, Limiter, Subject
from tidegate.rate_limiter.borrowing import BORROWERS_MAX, IDLE_S, Borrower
from tidegate.rate_limiter.limits import caller_counters, compiled_subject
from tidegate.store import Store

SECOND = 10**6
tenants = map("t{}".format, count())
with_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def bucket(rate: str = "100/second", burst: int = 200, **more: Any) -> TokenBucket:
    number, period = rate.split("/")
    return TokenBucket(
        name="steady", rate=Rate(int(number), period), burst=burst, precision="leased", **more
    )


def subject(*limits: Limit) -> Subject:
    return compiled_subject(caller_counters(next(tenants), "k", limits))


class Lender:
    """The real script at a time of the test's choice, answering at once."""

    def __init__(self, decide: Callable[..., Any]) -> None:
        self.now = 10**15
        self.calls = 0
        self._decide = decide

    def ask(self, subject: Subject, costs: Costs) -> Future[Any]:
        self.calls += 1
        reply = self._decide(subject, costs, self.now)
        answer: Future[Any] = Future()
        answer.set_result([*reply, *([] if reply.wait_us is None else [reply.wait_us])])
        return answer

    def refund(self, subject: Subject, costs: Costs) -> None:
        settled = subject.as_settled()
        self._decide(settled, (-costs[0],), self.now, age=b"1")


class Worker:
    def __init__(self, lender: Lender, workers: int) -> None:
        self.borrower = Borrower(lender, lambda: workers)
        self._lender = lender

    def admits(self, subject: Subject, cost: int) -> bool:
        """Decide as the policy does: by what is held, else by the store."""
        held = self.borrower.take(subject, (cost,), self._lender.now / SECOND)
        if held is not None:
            assert held.allowed
            assert all(0 <= state.remaining <= state.capacity - cost for state in held.states)
            return True
        return bool(self._lender.ask(subject, (cost,)).result()[0])


steps = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from([0, 0, 0, 50, 1_000, 20_000, 200_000, 3 * SECOND]),
        st.integers(1, 3),
        st.integers(1, 40),
        st.integers(0, 30),
    ),
    max_size=40,
)


@with_server
@given(steps, st.integers(1, 8), st.sampled_from([20, 60, 200]), st.integers(1, 400))
def test_beyond_the_exact_limit_at_most_a_tenth_of_the_burst_is_admitted(
    decide, steps, workers, burst, rate
) -> None:
    """Pain points 1 and 3, of batches: bursts that bypass a limit, limits times replicas."""

    async def scenario() -> list[tuple[int, int]]:
        asked = subject(bucket(f"{rate}/second", burst))
        lender = Lender(decide)
        fleet = [Worker(lender, workers) for _ in range(workers)]
        passed = []
        for worker, move, cost, times, idle in steps:
            lender.now += move
            one = fleet[worker % workers]
            for _ in range(times):
                lender.now += 10
                if one.admits(asked, cost):
                    passed.append((lender.now, cost))
            assert sum(each.borrower.held for each in fleet) <= burst // 10
            if idle == 0:
                one.borrower._sweep(lender.now / SECOND)
        for each in fleet:
            each.borrower.close()
        return passed

    passed = asyncio.run(scenario())
    sums = [0, *accumulate(cost for _, cost in passed)]
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch = passed[last][0] - passed[first][0]
            most = burst + rate * stretch / SECOND + burst // 10
            assert sums[last + 1] - sums[first] <= most


async def test_a_hot_key_costs_few_trips(decide) -> None:
    asked, lender = subject(bucket("100000/second", 20_000)), Lender(decide)
    worker = Worker(lender, 2)
    for _ in range(5_000):
        lender.now += 100
        assert worker.admits(asked, 1)
    assert lender.calls < 250
    worker.borrower.close()


async def test_a_cold_key_borrows_nothing(decide) -> None:
    asked, lender = subject(bucket()), Lender(decide)
    worker = Worker(lender, 1)
    for _ in range(20):
        lender.now += SECOND
        assert worker.admits(asked, 1)
        assert worker.borrower.held == 0
    assert lender.calls == 20


async def test_where_a_part_is_less_than_two_tokens_all_is_exact(decide) -> None:
    asked, lender = subject(bucket(burst=200)), Lender(decide)
    worker = Worker(lender, 11)
    for _ in range(100):
        worker.admits(asked, 1)
    assert (lender.calls, worker.borrower.held) == (100, 0)


@pytest.mark.parametrize(
    "others",
    [
        TokenBucket(name="exact", rate=Rate(1000, "second"), burst=1000),
        Quota(name="daily", quota=Rate(1000, "day")),
    ],
)
def test_one_exact_limit_makes_all_of_a_request_exact(others) -> None:
    assert subject(bucket(), others).lent_max == 0
    assert subject(bucket(), others.model_copy(update={"precision": "leased"})).lent_max == 20


async def test_what_is_held_is_given_back_at_the_end(decide) -> None:
    asked, lender = subject(bucket("1/hour", 200)), Lender(decide)
    worker = Worker(lender, 1)
    admitted = sum(worker.admits(asked, 1) for _ in range(100))
    assert worker.borrower.held > 0
    worker.borrower.close()
    assert decide(asked, 0, lender.now)[1] == 200 - admitted


async def test_what_nobody_uses_is_given_back(limit_stores: list[Store], eventually) -> None:
    limiter = Limiter(limit_stores[0])
    asked = subject(bucket("1/hour", 200))
    borrower = Borrower(limiter, lambda: 1)
    used = 0
    for number in range(100):
        if borrower.take(asked, (1,), number / 1000) is None:
            await limiter.ask(asked, (1,))
        used += 1
        await asyncio.sleep(0)
    await eventually(lambda: borrower.held > 0)
    await asyncio.sleep(2.2 * IDLE_S)
    assert borrower.held == 0
    (state,) = await limiter.states(asked)
    assert state.remaining == 200 - used
    borrower.close()


async def test_a_batch_that_the_store_does_not_lend_is_not_held(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    asked = subject(bucket("1/hour", 20))
    borrower = Borrower(limiter, lambda: 1)
    admitted = 0
    for number in range(200):
        if borrower.take(asked, (1,), number / 1000) is not None:
            admitted += 1
        else:
            admitted += limiter.decision(asked, (1,), await limiter.ask(asked, (1,))).allowed
    assert admitted == 20 - borrower.held
    borrower.close()


async def test_who_may_borrow_is_bounded(decide) -> None:
    lender = Lender(decide)
    borrower = Borrower(lender, lambda: 1)
    for _ in range(BORROWERS_MAX + 5):
        borrower.take(subject(bucket()), (1,), 1.0)
    assert len(borrower._purses) == BORROWERS_MAX
