"""Borrowed tokens: few trips for a hot key, and nothing held that nobody uses."""

import asyncio
from time import perf_counter

import pytest

from tests.rate_limiter.lending_kit import SECOND, Lender, Worker, bucket, subject, tenants
from tidegate.config.limits import Quota, TokenBucket
from tidegate.config.units import Rate
from tidegate.rate_limiter import Limiter, Subject
from tidegate.rate_limiter.borrowing import BORROWERS_MAX, IDLE_S, Borrower
from tidegate.rate_limiter.limits import caller_counters, compiled_subject
from tidegate.store import Store


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
    for _ in range(100):
        if borrower.take(asked, (1,), perf_counter()) is None:
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


async def test_keys_that_share_a_limit_share_what_may_be_held_of_it(decide) -> None:
    shared = bucket("500/second", 100, name="all", per="tenant")
    tenant, lender = next(tenants), Lender(decide)
    worker = Worker(lender, 1)
    for number in range(30):
        limits = bucket("1000/second", 1000), shared
        asked = compiled_subject(caller_counters(tenant, f"k{number}", limits))
        for _ in range(14):
            lender.now += 2000
            worker.admits(asked, 1)
        assert worker.borrower.held <= 10
    worker.borrower.close()


async def test_routes_with_other_units_share_what_may_be_held(decide) -> None:
    counters, lender = caller_counters(next(tenants), "k", (bucket(),)), Lender(decide)
    worker = Worker(lender, 1)
    for units in (("requests",), ("requests", "tokens")):
        asked = compiled_subject(counters, units)
        for _ in range(60):
            lender.now += 1000
            worker.borrower.take(asked, (1, 0)[: len(units)], lender.now / SECOND)
            worker.borrower.take(asked, (1, 0)[: len(units)], lender.now / SECOND)
    assert worker.borrower.held <= 20
    worker.borrower.close()


async def test_where_there_are_more_workers_each_gives_back_what_is_beyond_its_part(decide) -> None:
    asked, lender, workers = subject(bucket("1/hour", 1000)), Lender(decide), [1]
    borrower = Borrower(lender, lambda: workers[0])
    for number in range(60):
        borrower.take(asked, (1,), number / 1000)
    assert 25 < borrower.held <= 100
    workers[0] = 4
    borrower.take(asked, (1,), 0.06)
    assert borrower.held <= 25
    for number in range(61, 120):
        borrower.take(asked, (1,), number / 1000)
    workers[0] = 20
    borrower._sweep(0.0)
    assert borrower.held <= 5
    borrower.close()


async def test_nothing_is_borrowed_before_it_is_known_how_many_share(decide) -> None:
    asked, lender = subject(bucket()), Lender(decide)
    borrower = Borrower(lender, lambda: 0)
    assert [borrower.take(asked, (1,), number / 1000) for number in range(50)] == [None] * 50
    assert lender.calls == 0


async def test_what_costs_nothing_is_for_the_store_to_say_where_nothing_is_held(decide) -> None:
    asked, lender = subject(bucket()), Lender(decide)
    borrower = Borrower(lender, lambda: 1)
    borrower.take(asked, (0,), 0.0)
    assert borrower.take(asked, (0,), 0.001) is None
    free = [borrower.take(asked, (0,), number / 1000) for number in range(2, 20)]
    assert all(decision is None or decision.allowed for decision in free)
    borrower.close()


async def test_a_batch_that_comes_after_the_end_is_given_back(decide) -> None:
    asked, lender = subject(bucket("1/hour", 200)), Lender(decide, waits=True)
    borrower = Borrower(lender, lambda: 1)
    borrower.take(asked, (1,), 0.0)
    borrower.take(asked, (1,), 0.001)
    assert lender.calls == 1
    borrower.close()
    lender.answer()
    assert borrower._lent == {}
    assert decide(asked, 0, lender.now)[1] == 200


async def test_a_purse_is_not_forgotten_while_a_batch_is_under_way(decide) -> None:
    asked, lender = subject(bucket("1/hour", 200)), Lender(decide, waits=True)
    borrower = Borrower(lender, lambda: 1)
    borrower.take(asked, (1,), 0.0)
    borrower.take(asked, (1,), 0.001)
    borrower._sweep(1.0)
    lender.answer()
    assert borrower.held == 2
    assert subject_last(asked) == 198
    borrower.close()


def subject_last(asked: Subject) -> int:
    """What is left of its first limit, as the store said last."""
    left: int = asked.last[0][0]
    return left


async def test_what_is_left_is_what_the_store_said_and_what_is_held(decide) -> None:
    asked, lender = subject(bucket("1/hour", 200)), Lender(decide)
    borrower = Borrower(lender, lambda: 1)
    for number in range(30):
        decision = borrower.take(asked, (1,), number / 1000)
        if decision is not None:
            (state,) = decision.states
            assert state.remaining == decide(asked, 0, lender.now)[1] + borrower.held
    borrower.close()


async def test_a_refund_says_since_when_it_was_borrowed(decide) -> None:
    """Else what was borrowed in one window of a quota would be given back to the next."""
    daily = Quota(name="daily", quota=Rate(200, "day"), precision="leased")
    asked, lender = subject(daily), Lender(decide)
    borrower = Borrower(lender, lambda: 1)
    began = perf_counter() - 5.0
    for number in range(30):
        borrower.take(asked, (1,), began + number / 1000)
    assert borrower.held
    borrower.close()
    ((_, age_s),) = lender.refunds
    assert 4.9 < age_s < 6.0


async def test_who_asked_once_makes_room_for_others(limit_stores: list[Store], eventually) -> None:
    borrower = Borrower(Limiter(limit_stores[0]), lambda: 1)
    for _ in range(BORROWERS_MAX):
        borrower.take(subject(bucket()), (1,), perf_counter())
    await asyncio.sleep(2.2 * IDLE_S)
    assert not borrower._purses
    borrower.close()
