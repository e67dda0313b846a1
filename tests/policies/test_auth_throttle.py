"""Guessing is bounded by address, and nobody who has a key is locked out by it."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.conftest import known
from tests.policies.throttled_kit import NO_PROXIES, OTHER, at_once, calls, config, statuses
from tidegate.config import Rate
from tidegate.gateway import Gateway
from tidegate.http.errors import StoreUnavailable
from tidegate.identity import Repository, new_key
from tidegate.policies import auth_throttle
from tidegate.policies.auth_throttle import AuthThrottle, AuthThrottled
from tidegate.rate_limiter import Limiter


async def test_after_20_failures_the_answer_is_a_429_problem_that_says_when(kit_listening):
    kit = await kit_listening()
    assert await statuses(kit, 22) == [401] * 20 + [429] * 2
    answer = await kit.get("/api/x", key="wrong")
    problem = json.loads(answer.body)
    assert problem["type"] == (
        "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
    )
    assert answer.header("retry-after") in ("2", "3")
    assert answer.header("x-request-id")
    assert await statuses(kit, 1, client=OTHER) == [401]


async def test_what_is_throttled_is_not_looked_up(kit_listening, tidegate_store):
    kit = await kit_listening()
    await statuses(kit, 20)
    before = await tidegate_store.execute("INFO", "commandstats")
    for _ in range(5):
        assert await statuses(kit, 1, key=new_key()) == [429]
    after = await tidegate_store.execute("INFO", "commandstats")
    assert [calls(after, name) - calls(before, name) for name in ("hmget", "evalsha")] == [0, 0]


async def test_a_key_that_works_here_goes_on_working_beside_one_that_does_not(
    kit_listening, tidegate_store, monkeypatch
):
    kit = await kit_listening()
    repository = Repository(kit.gateway.config, tidegate_store)
    created = await repository.create_key("acme", "laptop")
    laptop, phone = created.key, (await repository.create_key("acme", "tab")).key
    assert await statuses(kit, 1, key=laptop) == [200]
    assert 429 in await statuses(kit, 22)
    assert await statuses(kit, 1, key="premium_user") == [200]
    # Its copy is too old to be taken unseen: it is read again, throttled or not.
    kit.gateway.parts.resolver._on_change(None)
    assert known(kit.gateway.parts.resolver, laptop.encode()) is None
    assert await statuses(kit, 1, key=laptop) == [200]
    # One that this worker has never met cannot be told from a guess.
    assert await statuses(kit, 1, key=phone) == [429]
    assert await statuses(kit, 1, key=phone, client=OTHER) == [200]
    # What is revoked is no key any more.
    await repository.revoke_key(created.stored.key_id)
    async with asyncio.timeout(1.0):
        while (await statuses(kit, 1, key=laptop))[0] == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await statuses(kit, 2, key=laptop) == [429, 429]


async def test_whoever_presents_nothing_guesses_nothing(kit_listening):
    kit = await kit_listening()
    assert await statuses(kit, 30, key=None) == [401] * 30
    twice = {"X-API-Key": "a"}
    assert (await kit.get("/api/x", key="b", headers=twice)).status == 401
    assert await statuses(kit, 20) == [401] * 20
    assert await statuses(kit, 1, key=None) == [401]


async def test_routes_without_auth_are_not_concerned(kit_listening):
    kit = await kit_listening()
    assert 429 in await statuses(kit, 21)
    assert (await kit.get("/free")).status == 200


async def test_workers_count_together(kit_listening):
    first, second = await kit_listening(), await kit_listening()
    assert await statuses(first, 12) + await statuses(second, 8) == [401] * 20
    # The first has not heard of the other's failures until its next one, which is over already.
    assert await statuses(first, 2) == [429, 429]
    assert await statuses(second, 2) == [429, 429]


async def test_the_bound_is_the_configurations_and_null_is_none(kit_listening):
    assert await statuses(await kit_listening(auth_failures="2/m"), 3) == [401, 401, 429]
    off = await kit_listening(auth_failures=None)
    assert await statuses(off, 30, client=OTHER) == [401] * 30


async def test_a_worker_counts_for_itself_while_the_store_is_down(kit_listening, monkeypatch):
    kit = await kit_listening()

    def down(*_) -> asyncio.Future:
        raise StoreUnavailable("down")

    monkeypatch.setattr(Limiter, "ask", down)
    assert await statuses(kit, 21) == [401] * 20 + [429]


async def test_a_key_that_cannot_be_looked_up_is_no_failure(kit_listening, monkeypatch):
    kit = await kit_listening()

    async def down(*_) -> None:
        await asyncio.sleep(0)
        raise StoreUnavailable("down")

    monkeypatch.setattr(kit.gateway.parts.resolver, "look_up", down)
    assert await statuses(kit, 30, key=new_key()) == [503] * 30
    assert await at_once([kit], [new_key() for _ in range(100)]) == {503: 100}
    monkeypatch.undo()
    assert await statuses(kit, 20) == [401] * 20


async def test_what_a_worker_remembers_is_bounded(tidegate_store, monkeypatch):
    monkeypatch.setattr(auth_throttle, "ADDRESSES_MAX", 3)
    throttle = AuthThrottle(Rate(1, "minute"), Limiter(tidegate_store), NO_PROXIES)
    for number in range(10):
        await one_failure(throttle, b"%d" % number)
    assert (len(throttle._clear_at), len(throttle._turns)) == (3, 0)
    # Forgotten here, the store still knows it.
    await throttle.enter(b"1")
    with pytest.raises(AuthThrottled):
        await throttle.failed(b"1")
    throttle.leave(b"1")
    with pytest.raises(AuthThrottled):
        await throttle.enter(b"1")
    assert not throttle._turns


async def one_failure(throttle: AuthThrottle, address: bytes) -> None:
    await throttle.enter(address)
    try:
        await throttle.failed(address)
    finally:
        throttle.leave(address)


class _Nowhere:
    """A limiter whose store is down."""

    def subject(self, *_):
        return None

    def ask(self, *_):
        raise StoreUnavailable("down")

    def decision(self, *_):
        raise AssertionError


class _Throttle(AuthThrottle):
    def _subject_of(self, address):
        return None


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 60)), max_size=40),
    st.integers(1, 50),
    st.sampled_from(["second", "minute", "hour"]),
)
def test_a_worker_alone_takes_no_more_than_burst_and_rate_allow(waves, count, period):
    now = [1000.0]
    rate = Rate(count, period)
    throttle = _Throttle(rate, _Nowhere(), NO_PROXIES, clock=lambda: now[0])
    taken: list[float] = []

    async def guess() -> None:
        try:
            await throttle.enter(b"a")
        except AuthThrottled as error:
            wait_s = int(error.headers.get(b"retry-after"))
            assert 1 <= wait_s <= rate.period_s
            return
        taken.append(now[0])
        await asyncio.sleep(0)
        with suppress(StoreUnavailable):
            await throttle.failed(b"a")
        throttle.leave(b"a")

    async def play() -> None:
        for pause, guesses in waves:
            now[0] += pause
            await asyncio.gather(*(guess() for _ in range(guesses)))
            assert not throttle._turns

    asyncio.run(play())
    for index, start in enumerate(taken):
        for end_index in range(index, len(taken)):
            span_s = taken[end_index] - start
            assert end_index - index + 1 <= count + span_s * count / rate.period_s + 1e-3


async def test_a_gateway_keeps_one_count_for_all_its_routes(tidegate_store):
    configured = config("http://127.0.0.1:9")
    service = configured.services[0].model_copy(
        update={"routes": tuple(configured.services[0].routes[:1]) * 2}
    )
    configured = configured.model_copy(update={"services": (service,)})
    async with Gateway(configured, data_dir=Path(), store=tidegate_store) as gateway:
        routes = [dict(compiled.policies)["authenticate"] for compiled in gateway.snapshot.routes]
    throttles = [route._recognition._throttle for route in routes]
    assert throttles[0] is throttles[1] is not None
