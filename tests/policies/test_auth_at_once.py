"""Guesses that come at once take turns, and gain nothing by hanging up; who has a key gets in."""

import asyncio
import gc
from contextlib import suppress

import pytest

from tests.policies.throttled_kit import NO_PROXIES, at_once, good_keys, look_ups, statuses
from tidegate.config import Rate
from tidegate.http.errors import StoreUnavailable
from tidegate.identity import Repository, new_key
from tidegate.policies import auth_throttle, auth_turns
from tidegate.policies.auth_throttle import AuthThrottle, AuthThrottled
from tidegate.rate_limiter import Limiter
from tidegate.testing import Kit

# A place that comes back within a test would be one more; with 20 an hour none does.


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_guesses_in_parallel_are_looked_up_no_more_than_failures_are_left(
    kit_listening, tidegate_store, workers
):
    kits = [await kit_listening(auth_failures="20/h") for _ in range(workers)]
    before = await look_ups(tidegate_store)
    answers = await at_once(kits, [new_key() for _ in range(1000)])
    # Failures are counted together, look-ups by each worker for itself.
    assert answers == {401: 20, 429: 1000 * workers - 20}
    assert await look_ups(tidegate_store) - before == 20 * workers
    assert await at_once(kits, [new_key() for _ in range(100)]) == {429: 100 * workers}
    assert await look_ups(tidegate_store) - before == 20 * workers
    assert all(not kit.gateway.parts.throttle._turns for kit in kits)


async def test_a_worker_looks_up_in_parallel_what_others_have_left(kit_listening, tidegate_store):
    first, second = [await kit_listening(auth_failures="20/h") for _ in range(2)]
    assert await statuses(first, 15) == [401] * 15
    assert await statuses(second, 1) == [401]
    before = await look_ups(tidegate_store)
    answers = await at_once([second], [new_key() for _ in range(100)])
    assert answers == {401: 4, 429: 96}
    assert await look_ups(tidegate_store) - before == 4


async def test_a_thousand_malformed_guesses_at_once_are_no_more_than_twenty(kit_listening):
    kit = await kit_listening(auth_failures="20/h")
    answers = await at_once([kit], [f"guess{number}" for number in range(1000)])
    assert answers == {401: 20, 429: 980}


@pytest.mark.parametrize("failed", [0, 15, 19])
async def test_an_office_of_good_keys_is_let_in_by_a_worker_that_has_met_none(
    kit_listening, tidegate_store, failed
):
    kit = await kit_listening(auth_failures="20/h")
    keys = await good_keys(kit, 50)
    await statuses(kit, failed)
    # Each in several requests: who waits for a turn with a key found meanwhile reads it no more.
    before = await look_ups(tidegate_store)
    assert await at_once([kit], keys * 4) == {200: 200}
    assert await look_ups(tidegate_store) - before == 50
    assert await statuses(kit, 20 - failed) == [401] * (20 - failed)
    assert await statuses(kit, 1) == [429]


async def test_who_came_before_the_last_failure_is_let_in_and_who_waits_behind_it_is_not(
    kit_listening, tidegate_store
):
    kit = await kit_listening(auth_failures="20/h")
    keys = await good_keys(kit, 6)
    await statuses(kit, 19)
    in_turn = [*keys[:3], new_key(), *keys[3:], new_key()]
    answers = await asyncio.gather(*(kit.get("/api/x", key=key) for key in in_turn))
    assert [answer.status for answer in answers] == [200, 200, 200, 401, 429, 429, 429, 429]
    assert 1 <= int(answers[-1].header("retry-after")) <= 180
    assert await at_once([kit], keys) == {200: 3, 429: 3}


async def test_a_client_that_goes_away_while_it_waits_leaves_no_trace(
    kit_listening, tidegate_store
):
    kit = await kit_listening(auth_failures="20/h")
    keys = await good_keys(kit, 9)
    await statuses(kit, 19)
    asked = [asyncio.create_task(kit.get("/api/x", key=key)) for key in keys]
    guesses = [asyncio.create_task(kit.get("/api/x", key=new_key())) for _ in range(5)]
    await asyncio.sleep(0)
    turns = kit.gateway.parts.throttle._turns
    assert len(turns) == 1
    for gone in (*asked[1::2], *guesses):
        gone.cancel()
    assert [(await stayed).status for stayed in asked[::2]] == [200] * 5
    left = await asyncio.gather(*asked[1::2], *guesses, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in left)
    assert not turns
    assert await statuses(kit, 2) == [401, 429]


async def test_who_hangs_up_on_a_look_up_has_guessed(kit_listening, tidegate_store):
    kit, other = [await kit_listening(auth_failures="3/h") for _ in range(2)]
    repository = Repository(kit.gateway.config, tidegate_store)
    good = (await repository.create_key("acme", "laptop")).key
    before = await look_ups(tidegate_store)
    for key in (new_key(), new_key(), new_key(), good):
        asked = asyncio.create_task(kit.get("/api/x", key=key))
        await asyncio.sleep(0)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
    # Else whoever hung up on each of a thousand would now be let in with the one that is a key.
    assert await statuses(kit, 1, key=good) == [429]
    assert await look_ups(tidegate_store) - before == 3
    assert not kit.gateway.parts.throttle._turns
    # And is known to the others by the time that they ask.
    assert await statuses(other, 1) == [429]


async def hang_up(kit: Kit, key: str) -> None:
    """Go away while the key is looked up, and let the look-up end."""
    asked = asyncio.create_task(kit.get("/api/x", key=key))
    await asyncio.sleep(0)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    turns = kit.gateway.parts.throttle._turns
    assert turns
    async with asyncio.timeout(1.0):
        while turns:  # noqa: ASYNC110 the look-up goes on by itself
            await asyncio.sleep(0)


async def test_who_hangs_up_on_a_key_that_is_one_has_not_guessed(kit_listening, monkeypatch):
    kit = await kit_listening(auth_failures="2/h")
    for key in await good_keys(kit, 5):
        await hang_up(kit, key)
    assert await statuses(kit, 1) == [401]
    await hang_up(kit, new_key())
    assert await statuses(kit, 1) == [429]


async def test_a_look_up_that_nobody_waits_for_may_fail(kit_listening, monkeypatch):
    kit = await kit_listening(auth_failures="1/h")
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def down(*_) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        raise StoreUnavailable("down")

    monkeypatch.setattr(kit.gateway.parts.resolver, "look_up", down)
    await hang_up(kit, new_key())
    gc.collect()
    assert told == []
    monkeypatch.undo()
    assert await statuses(kit, 2) == [401, 429]


async def test_no_more_wait_than_a_bound(tidegate_store, monkeypatch):
    monkeypatch.setattr(auth_turns, "WAITING_MAX", 2)
    throttle = AuthThrottle(Rate(1, "hour"), Limiter(tidegate_store), NO_PROXIES)
    await throttle.enter(b"a")
    waiting = [asyncio.create_task(throttle.enter(b"a")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(AuthThrottled, match="wait to be looked up") as refusal:
        await throttle.enter(b"a")
    assert refusal.value.headers.get(b"retry-after") == b"1"
    await throttle.enter(b"b")  # another address has its own
    for _ in waiting:
        throttle.leave(b"a")
    await asyncio.gather(*waiting)
    throttle.leave(b"a")
    throttle.leave(b"b")
    assert not throttle._turns


async def test_nobody_waits_longer_than_a_bound(tidegate_store, monkeypatch):
    monkeypatch.setattr(auth_throttle, "WAIT_MAX_S", 0.0)
    throttle = AuthThrottle(Rate(1, "hour"), Limiter(tidegate_store), NO_PROXIES)
    await throttle.enter(b"a")
    with pytest.raises(AuthThrottled, match="wait to be looked up"):
        await throttle.enter(b"a")
    throttle.leave(b"a")
    assert not throttle._turns


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_place_that_comes_as_its_waiter_goes_is_the_next_ones(
    tidegate_store, monkeypatch, is_late
):
    throttle = AuthThrottle(Rate(1, "hour"), Limiter(tidegate_store), NO_PROXIES)
    await throttle.enter(b"a")
    first, second = [asyncio.create_task(throttle.enter(b"a")) for _ in range(2)]
    await asyncio.sleep(0)
    if is_late:
        throttle.leave(b"a")  # the place is the first one's, who does not run any more
    first.cancel()
    if not is_late:
        throttle.leave(b"a")
    await second
    assert first.cancelled()
    throttle.leave(b"a")
    assert not throttle._turns
