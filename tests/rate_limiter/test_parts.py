"""Limits of several hash slots, on a real Cluster: what one script cannot see at once."""

import asyncio

import pytest

from tidegate.config.limits import Concurrency, Limit, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Decision, Limiter, Subject
from tidegate.store import CommandFailed, Store

KEY = b"tg:limits:{acme}:k:k"
ADDRESS = b"tg:limits:{a:203.0.113.7}"
GLOBAL = b"tg:limits:{g}"
WINDOW = SlidingWindow(name="all", rate=parse_rate("50/h"), algorithm="sliding-window")
PARALLEL = Concurrency(name="parallel", concurrency=5)


def bucket(burst: int, name: str = "steady") -> TokenBucket:
    return TokenBucket(name=name, rate=parse_rate("1/h"), burst=burst)


def subject_of(limiter: Limiter, key: Limit, *outside: tuple[bytes, Limit]) -> Subject:
    around = [Counter(state, (limit,), is_outside=True) for state, limit in outside]
    return limiter.subject([Counter(KEY, (key,)), *around])


async def decided(limiter: Limiter, subject: Subject, cost: int = 1) -> Decision:
    return limiter.decision(subject, (cost,), await limiter.ask(subject, (cost,)))


async def left(limiter: Limiter, subject: Subject) -> dict[str, int]:
    return {state.name: state.remaining for state in await limiter.states(subject)}


async def test_limits_of_one_slot_have_no_parts(cluster: Store) -> None:
    limiter = Limiter(cluster)
    states = [Counter(KEY, (bucket(5),)), Counter(b"tg:limits:{acme}:t", (bucket(9, "all"),))]
    subject = limiter.subject(states)
    assert not subject.parts
    assert subject.is_plain
    assert (await decided(limiter, subject)).allowed


async def test_a_decision_over_slots_looks_like_one(cluster: Store) -> None:
    limiter = Limiter(cluster)
    outside = ((ADDRESS, bucket(9, "address")), (GLOBAL, WINDOW))
    subject = subject_of(limiter, bucket(4), *outside)
    assert len(subject.parts) == 3
    admitted = await decided(limiter, subject, 3)
    assert dict(admitted.headers)[b"ratelimit"].startswith(b'"steady";r=1;t=3600, "address";r=6')
    refused = await decided(limiter, subject, 2)
    assert refused.violated == ("steady",)
    assert refused.retry_after_s == 3600
    assert [state.remaining for state in refused.states] == [1, 6, 47]
    assert await left(limiter, subject) == {"steady": 1, "address": 6, "all": 47}


async def test_what_is_outside_refuses_first_and_nothing_inside_is_charged(cluster: Store) -> None:
    limiter = Limiter(cluster)
    outside = ((ADDRESS, bucket(2, "address")), (GLOBAL, WINDOW))
    subject = subject_of(limiter, bucket(9), *outside)
    refused = await decided(limiter, subject, 3)
    assert (refused.allowed, refused.retry_after_s) == (False, None)
    assert await left(limiter, subject) == {"steady": 9, "address": 2, "all": 50}
    await decided(limiter, subject, 2)
    refused = await decided(limiter, subject, 1)
    assert refused.violated == ("address",)
    assert [state.remaining for state in refused.states] == [7, 0, 48]
    assert await left(limiter, subject) == {"steady": 7, "address": 0, "all": 48}


async def test_many_at_once_are_never_over_and_what_was_refused_is_given_back(
    cluster: Store,
) -> None:
    """Pain point 20: limits that are not atomic; and 15: what was refused is counted."""
    limiter = Limiter(cluster)
    outside = ((ADDRESS, bucket(500, "address")), (GLOBAL, WINDOW))
    subject = subject_of(limiter, bucket(20), *outside)
    decisions = await asyncio.gather(*(decided(limiter, subject) for _ in range(200)))
    admitted = sum(decision.allowed for decision in decisions)
    assert admitted <= 20
    assert admitted == 20 or any("all" in decision.violated for decision in decisions)
    spent = {"steady": 20 - admitted, "address": 500 - admitted, "all": 50 - admitted}
    assert await left(limiter, subject) == spent


async def test_a_lease_outside_is_released_where_the_tenant_s_limits_refuse(
    cluster: Store,
) -> None:
    limiter = Limiter(cluster)
    subject = subject_of(limiter, bucket(1), (GLOBAL, PARALLEL))
    first = await decided(limiter, subject)
    assert first.lease is not None
    for _ in range(3):
        assert (await decided(limiter, subject)).violated == ("steady",)
    assert await left(limiter, subject) == {"steady": 0, "parallel": 4}
    limiter.release(first.lease)
    assert await left(limiter, subject) == {"steady": 0, "parallel": 5}


async def test_settlements_reach_every_part(cluster: Store) -> None:
    limiter = Limiter(cluster)
    subject = subject_of(limiter, bucket(20), (ADDRESS, bucket(30, "address")))
    await decided(limiter, subject, 9)
    limiter.settle(subject, 9, 4)
    assert await left(limiter, subject) == {"steady": 16, "address": 26}


async def test_a_part_that_cannot_be_asked_is_an_outage_and_the_others_are_given_back(
    cluster: Store,
) -> None:
    limiter = Limiter(cluster)
    subject = subject_of(limiter, bucket(20), (ADDRESS, bucket(30, "address")))
    await cluster.execute("SET", KEY, "nonsense")
    with pytest.raises(CommandFailed):
        await decided(limiter, subject)
    await cluster.execute("DEL", KEY)
    assert await left(limiter, subject) == {"steady": 20, "address": 30}
