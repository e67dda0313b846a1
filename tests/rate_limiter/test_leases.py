"""Leases and settlements on real servers, through the gateway's own connections."""

import asyncio
from time import perf_counter

import pytest

from tidegate.config.limits import Concurrency, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Decision, Limiter, Subject
from tidegate.rate_limiter.limiter import ON_THE_WAY_S
from tidegate.store import Store

ONE = (1,)
TOKENS = TokenBucket(name="tokens", rate=parse_rate("1/h"), burst=1000, unit="tokens")
STEADY = TokenBucket(name="steady", rate=parse_rate("1/h"), burst=10)


def parallel(count: int = 2, lease_s: float = 30.0) -> Concurrency:
    return Concurrency(name="parallel", concurrency=count, lease=lease_s)


def subject_of(limiter: Limiter, *limits, units=("requests",)) -> Subject:
    return limiter.subject([Counter(b"tg:limits:{acme}:k:k", limits)], units)


async def decided(limiter: Limiter, subject: Subject, costs=ONE) -> Decision:
    return limiter.decision(subject, costs, await limiter.ask(subject, costs))


async def left(limiter: Limiter, subject: Subject) -> list[int]:
    return [state.remaining for state in await limiter.states(subject)]


async def test_two_hundred_at_once_over_two_connections_take_exactly_the_leases(
    limit_stores: list[Store],
) -> None:
    """Pain point 1: bursts bypass limits."""
    limiters = [Limiter(store) for store in limit_stores]
    subjects = [subject_of(limiter, parallel(7)) for limiter in limiters]
    asked = (decided(limiters[n % 2], subjects[n % 2]) for n in range(200))
    decisions = await asyncio.gather(*asked)
    leases = {decision.lease.identity for decision in decisions if decision.lease}
    assert len(leases) == sum(decision.allowed for decision in decisions) == 7
    assert await left(limiters[0], subjects[0]) == [0]


async def test_a_released_lease_is_free_at_once_and_twice_does_no_harm(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, parallel(1), STEADY)
    first = await decided(limiter, subject)
    refused = await decided(limiter, subject)
    assert (refused.allowed, refused.violated, refused.lease) == (False, ("parallel",), None)
    assert 29 <= (refused.retry_after_s or 0) <= 30
    assert first.lease is not None
    limiter.release(first.lease)
    second = await decided(limiter, subject)
    assert second.allowed
    limiter.release(first.lease)
    assert await left(limiter, subject) == [8, 0]


async def test_a_cancelled_question_gives_its_lease_back(limit_stores: list[Store]) -> None:
    """Pain point 4: the slot of a cancelled request is never released."""
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, parallel(1))
    for _ in range(5):
        limiter.ask(subject, ONE).cancel()
    await asyncio.sleep(0)
    assert await left(limiter, subject) == [1]


async def test_leases_of_a_killed_worker_end_by_themselves(limit_stores: list[Store]) -> None:
    """Pain point 4. Nobody renews nor releases them: that is what a killed worker does."""
    killed, other = (Limiter(store) for store in limit_stores)
    subject = subject_of(other, parallel(2, lease_s=1.0))
    for _ in range(2):
        assert (await decided(killed, subject)).allowed
    refused = await decided(other, subject)
    assert refused.retry_after_s == 1
    await asyncio.sleep(refused.retry_after_s)
    assert (await decided(other, subject)).allowed


async def test_a_renewed_lease_lasts(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, parallel(1, lease_s=1.0))
    lease = (await decided(limiter, subject)).lease
    assert lease is not None
    assert lease.renew_s == pytest.approx(1 / 3)
    for _ in range(4):
        await asyncio.sleep(0.4)
        limiter.renew([lease])
        assert await left(limiter, subject) == [0]
    await asyncio.sleep(1.01)
    assert await left(limiter, subject) == [1]


async def test_renewing_counts_right_again_after_the_store_lost_its_data(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, parallel(2))
    taken = [(await decided(limiter, subject)).lease for _ in range(2)]
    await limit_stores[1].execute("FLUSHALL")
    assert await left(limiter, subject) == [2]
    limiter.renew([lease for lease in taken if lease])
    assert await left(limiter, subject) == [0]
    assert not (await decided(limiter, subject)).allowed


async def test_a_thousand_renewals_of_one_limit_are_two_calls(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, parallel(1000))
    decisions = await asyncio.gather(*(decided(limiter, subject) for _ in range(1000)))
    await limit_stores[0].execute("FLUSHALL")
    limiter.renew([decision.lease for decision in decisions if decision.lease])
    assert await left(limiter, subject) == [0]


async def test_what_was_reserved_is_settled_by_what_was_spent(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, STEADY, TOKENS, units=("requests", "tokens"))
    assert (await decided(limiter, subject, (1, 500))).allowed
    limiter.settle(subject, 500, 120, "tokens")
    assert await left(limiter, subject) == [9, 880]
    limiter.settle(subject, 0, 1880, "tokens")
    assert not (await decided(limiter, subject, (1, 1))).allowed
    limiter.settle(subject, 1880, 380, "tokens")
    assert await left(limiter, subject) == [9, 500]
    limiter.settle(subject, 1, 3)
    assert await left(limiter, subject) == [7, 500]


async def test_a_refund_gives_every_unit_back_and_lets_the_lease_be(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    window = SlidingWindow(name="window", rate=parse_rate("9/h"), algorithm="sliding-window")
    monthly = Quota(name="monthly", quota=parse_rate("9/month"), time_zone="Asia/Tokyo")
    subject = subject_of(
        limiter, STEADY, TOKENS, window, monthly, parallel(), units=("requests", "tokens")
    )
    assert (await decided(limiter, subject, (2, 500))).allowed
    limiter.refund(subject, (2, 500), age_s=0.1)
    assert await left(limiter, subject) == [10, 1000, 9, 9, 1]


async def test_what_was_charged_on_the_way_is_given_back_at_whatever_age_the_gateway_says(
    limit_stores: list[Store],
) -> None:
    """A sliding window gives back what was spent since: the store's clock is not the gateway's."""
    limiter = Limiter(limit_stores[0])
    window = SlidingWindow(name="window", rate=parse_rate("9/h"), algorithm="sliding-window")
    subject = subject_of(limiter, window)
    assert (await decided(limiter, subject, (5,))).allowed
    limiter.refund(subject, (2,))
    assert await left(limiter, subject) == [6]
    limiter.settle(subject, 3, 1)
    assert await left(limiter, subject) == [8]


async def test_what_a_long_request_did_not_need_is_given_back_by_its_age(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    window = SlidingWindow(name="window", rate=parse_rate("9/h"), algorithm="sliding-window")
    subject = subject_of(limiter, window)
    asked_at = perf_counter()
    assert (await decided(limiter, subject, (5,))).allowed
    await asyncio.sleep(1.5 * ON_THE_WAY_S)
    limiter.settle(subject, 5, 4)
    assert await left(limiter, subject) == [4], "spent by somebody earlier, for all it is told"
    limiter.settle(subject, 5, 4, age_s=perf_counter() - asked_at)
    assert await left(limiter, subject) == [5]


async def test_a_plain_subject_is_refunded_as_well(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    subject = subject_of(limiter, STEADY)
    assert subject.is_plain
    await decided(limiter, subject, (4,))
    limiter.refund(subject, (3,))
    assert await left(limiter, subject) == [9]


async def test_a_reset_forgets_windows_and_leases_too(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    window = SlidingWindow(name="window", rate=parse_rate("9/h"), algorithm="sliding-window")
    subject = subject_of(limiter, STEADY, window, parallel())
    for _ in range(2):
        await decided(limiter, subject)
    assert await left(limiter, subject) == [8, 7, 0]
    assert await limiter.reset("acme", "k") == 3
    assert await left(limiter, subject) == [10, 9, 2]
