"""Limits of several hash slots, on a real Cluster: what one script cannot see at once."""

import asyncio
import time
from typing import Any

import pytest

from tidegate.config.limits import Concurrency, Limit, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Decision, Limiter, Subject
from tidegate.rate_limiter.limiter import ON_THE_WAY_S
from tidegate.store import CommandFailed, ScriptCall, Store

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


def outside_and_in(limiter: Limiter, own: tuple[Limit, ...], shared: tuple[Limit, ...]) -> Subject:
    return limiter.subject([Counter(KEY, own), Counter(GLOBAL, shared, is_outside=True)])


async def hang_up_after(questions: int, limiter: Limiter, subject: Subject, cost: int) -> None:
    """Cancel a decision when so many of its questions are on their way."""
    call, asked = limiter._call, 0

    def counted(question: ScriptCall) -> asyncio.Future[Any]:
        nonlocal asked
        asked += 1
        return call(question)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limiter, "_call", counted)
        decision = limiter.ask(subject, (cost,))
        while asked < questions:  # noqa: ASYNC110
            await asyncio.sleep(0)
        decision.cancel()
        await asyncio.wait([decision])
    assert decision.cancelled()


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
    subject = subject_of(limiter, bucket(2), (GLOBAL, PARALLEL))
    first = await decided(limiter, subject, 2)
    assert first.lease is not None
    for _ in range(3):
        refused = await decided(limiter, subject, 2)
        assert [(state.remaining, state.is_violated) for state in refused.states] == [
            (0, True),
            (4, False),
        ]
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


@pytest.mark.parametrize("questions", [1, 2])
async def test_a_cancelled_request_is_given_back_all_of_it_in_whichever_trip(
    cluster: Store, questions: int
) -> None:
    """Pain points 4, the slot of a cancelled request, and 15: who hangs up at once must not be able
    to spend what is everybody's."""
    limiter = Limiter(cluster)
    own = (bucket(10), Concurrency(name="own", concurrency=5))
    subject = outside_and_in(limiter, own, (bucket(10, "global"), WINDOW, PARALLEL))
    full = {"steady": 10, "own": 5, "global": 10, "all": 50, "parallel": 5}
    assert await left(limiter, subject) == full
    for _ in range(3):
        await hang_up_after(questions, limiter, subject, 2)
        await left(limiter, subject)  # what it learns came after what was charged
        assert await left(limiter, subject) == full


async def test_a_cancelled_look_gives_nothing_back(cluster: Store) -> None:
    limiter = Limiter(cluster)
    subject = outside_and_in(limiter, (bucket(10),), (bucket(4, "global"),))
    assert (await decided(limiter, subject, 3)).allowed
    await hang_up_after(2, limiter, subject, 2)
    await left(limiter, subject)
    assert await left(limiter, subject) == {"steady": 7, "global": 1}


async def test_the_wait_is_until_all_limits_have_room_for_the_cost(cluster: Store) -> None:
    """Pain point: a Retry-After after which the same request is refused again."""
    limiter = Limiter(cluster)
    own = TokenBucket(name="own", rate=parse_rate("1/s"), burst=10)
    shared = TokenBucket(name="all", rate=parse_rate("10/s"), burst=10)
    subject = outside_and_in(limiter, (own,), (shared,))
    assert (await decided(limiter, subject, 10)).allowed
    refused = await decided(limiter, subject, 5)
    assert refused.violated == ("own", "all")
    assert refused.retry_after_s == 5
    assert [state.reset_s for state in refused.states] == [5, 1]


async def test_what_is_given_back_is_told_as_if_it_had_never_been_charged(cluster: Store) -> None:
    limiter = Limiter(cluster)
    subject = subject_of(limiter, bucket(2), (ADDRESS, bucket(9, "address")), (GLOBAL, WINDOW))
    assert (await decided(limiter, subject, 2)).allowed
    await limiter.reset_outside(ADDRESS)
    refused = await decided(limiter, subject, 1)
    figures = [(state.remaining, state.reset_s) for state in refused.states]
    assert figures == [(0, 3600), (9, 0), (48, 3600)]
    assert await left(limiter, subject) == {"steady": 0, "address": 9, "all": 48}


async def test_what_was_charged_long_ago_is_given_back_too(
    cluster: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sliding window gives back only what was spent since the request came."""
    limiter = Limiter(cluster)
    subject = subject_of(limiter, bucket(1), (GLOBAL, WINDOW))
    assert (await decided(limiter, subject)).allowed

    def call(question: ScriptCall) -> asyncio.Future[Any]:
        if KEY in question.keys:
            time.sleep(3 * ON_THE_WAY_S)  # whatever else holds a worker up
        return cluster.call(question)

    monkeypatch.setattr(limiter, "_call", call)
    assert not (await decided(limiter, subject)).allowed
    assert await left(limiter, subject) == {"steady": 0, "all": 49}


async def test_shadows_inside_tell_that_they_would_refuse_what_is_refused_outside(
    cluster: Store,
) -> None:
    limiter = Limiter(cluster)
    one = Concurrency(name="one", concurrency=1, shadow=True)
    own = TokenBucket(name="own", rate=parse_rate("1/h"), burst=9, shadow=True)
    subject = outside_and_in(limiter, (own, one), (bucket(5),))
    assert (await decided(limiter, subject, 5)).would_refuse == ()
    assert (await decided(limiter, subject, 5)).would_refuse == ("own", "one")
    assert await left(limiter, subject) == {"own": 4, "one": 0, "steady": 0}


async def test_what_is_inside_and_would_admit_is_told_of_with_what_is_left(cluster: Store) -> None:
    limiter = Limiter(cluster)
    own = TokenBucket(name="own", rate=parse_rate("6/m"), burst=20)
    shared = TokenBucket(name="global", rate=parse_rate("1/s"), burst=10)
    subject = outside_and_in(limiter, (own, WINDOW, PARALLEL), (shared,))
    assert (await decided(limiter, subject, 8)).allowed
    for _ in range(2):
        refused = await decided(limiter, subject, 5)
        assert (refused.violated, refused.retry_after_s, refused.lease) == (("global",), 3, None)
        figures = {state.name: (state.remaining, state.reset_s) for state in refused.states}
        inside = {"own": (12, 10), "all": (42, 3600), "parallel": (4, 30)}
        assert figures == inside | {"global": (2, 3)}
