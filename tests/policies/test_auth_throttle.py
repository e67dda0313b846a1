"""Guessing is bounded by address, and nobody who has a key is locked out by it."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.conftest import known
from tidegate.config import Config, Rate
from tidegate.gateway import Gateway
from tidegate.http.errors import StoreUnavailable
from tidegate.identity import Repository, new_key
from tidegate.policies import auth_throttle, auth_turns
from tidegate.policies.auth_throttle import AuthThrottle, AuthThrottled
from tidegate.rate_limiter import Limiter
from tidegate.store import Store
from tidegate.testing import Kit, ScriptedUpstream, open_kit

OTHER = "192.0.2.7"


def config(url: str, **listen) -> Config:
    tenants = [
        {"name": "acme", "plan": "p", "keys": [{"name": "premium_user", "value": "premium_user"}]}
    ]
    services = [
        {
            "name": "test",
            "targets": [url],
            "routes": [{"name": "test", "paths": ["/api"]}, {"name": "open", "auth": []}],
        }
    ]
    return Config.model_validate(
        {
            "version": 1,
            "listen": listen,
            "plans": {"p": {}},
            "tenants": tenants,
            "services": services,
        }
    )


@pytest.fixture
async def opened(tidegate_store):
    """`await opened(**listen)`: a kit whose configuration has these fields of `listen`."""
    async with ScriptedUpstream() as upstream:
        kits = []

        async def opened_kit(**listen) -> Kit:
            context = open_kit(tidegate_store, config=config(upstream.url, **listen))
            kits.append(context)
            return await context.__aenter__()

        yield opened_kit
        for context in kits:
            await context.__aexit__(None, None, None)


async def statuses(kit: Kit, count: int, key: str | None = "wrong", **options) -> list[int]:
    return [(await kit.get("/api/x", key=key, **options)).status for _ in range(count)]


async def test_after_20_failures_the_answer_is_a_429_problem_that_says_when(opened):
    kit = await opened()
    assert await statuses(kit, 22) == [401] * 20 + [429] * 2
    answer = await kit.get("/api/x", key="wrong")
    problem = json.loads(answer.body)
    assert problem["type"] == "urn:tidegate:problem:auth-throttled"
    assert answer.header("retry-after") in ("2", "3")
    assert answer.header("x-request-id")
    assert await statuses(kit, 1, client=OTHER) == [401]


async def test_what_is_throttled_is_not_looked_up(opened, tidegate_store):
    kit = await opened()
    await statuses(kit, 20)
    before = await tidegate_store.execute("INFO", "commandstats")
    for _ in range(5):
        assert await statuses(kit, 1, key=new_key()) == [429]
    after = await tidegate_store.execute("INFO", "commandstats")
    assert [calls(after, name) - calls(before, name) for name in ("hmget", "evalsha")] == [0, 0]


def calls(commandstats: bytes, command: str) -> int:
    _, found, rest = commandstats.decode().partition(f"cmdstat_{command}:calls=")
    return int(rest.partition(",")[0]) if found else 0


async def test_a_key_that_works_here_goes_on_working_beside_one_that_does_not(
    opened, tidegate_store, monkeypatch
):
    kit = await opened()
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


async def test_whoever_presents_nothing_guesses_nothing(opened):
    kit = await opened()
    assert await statuses(kit, 30, key=None) == [401] * 30
    twice = {"X-API-Key": "a"}
    assert (await kit.get("/api/x", key="b", headers=twice)).status == 401
    assert await statuses(kit, 20) == [401] * 20
    assert await statuses(kit, 1, key=None) == [401]


async def test_routes_without_auth_are_not_concerned(opened):
    kit = await opened()
    assert 429 in await statuses(kit, 21)
    assert (await kit.get("/free")).status == 200


async def test_workers_count_together(opened):
    first, second = await opened(), await opened()
    assert await statuses(first, 12) + await statuses(second, 8) == [401] * 20
    # The first has not heard of the other's failures until its next one, which is over already.
    assert await statuses(first, 2) == [429, 429]
    assert await statuses(second, 2) == [429, 429]


async def at_once(kits: Sequence[Kit], keys: Iterable[str]) -> Counter[int]:
    """Every key at every kit in one moment: how often each status came back."""
    asked = [kit.get("/api/x", key=key) for key in keys for kit in kits]
    return Counter(answer.status for answer in await asyncio.gather(*asked))


async def look_ups(store: Store) -> int:
    return calls(await store.execute("INFO", "commandstats"), "hmget")


async def good_keys(kit: Kit, count: int) -> list[str]:
    repository = Repository(kit.gateway.config, kit.gateway.store)
    creating = [repository.create_key("acme", f"key{number}") for number in range(count)]
    return [created.key for created in await asyncio.gather(*creating)]


# A place that comes back within the test would be one more; with 20 an hour none does.


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_guesses_in_parallel_are_looked_up_no_more_than_failures_are_left(
    opened, tidegate_store, workers
):
    kits = [await opened(auth_failures="20/h") for _ in range(workers)]
    before = await look_ups(tidegate_store)
    answers = await at_once(kits, [new_key() for _ in range(1000)])
    # Failures are counted together, look-ups by each worker for itself.
    assert answers == {401: 20, 429: 1000 * workers - 20}
    assert await look_ups(tidegate_store) - before == 20 * workers
    assert await at_once(kits, [new_key() for _ in range(100)]) == {429: 100 * workers}
    assert await look_ups(tidegate_store) - before == 20 * workers
    assert all(not kit.gateway.parts.throttle._turns for kit in kits)


async def test_a_worker_looks_up_in_parallel_what_others_have_left(opened, tidegate_store):
    first, second = [await opened(auth_failures="20/h") for _ in range(2)]
    assert await statuses(first, 15) == [401] * 15
    assert await statuses(second, 1) == [401]
    before = await look_ups(tidegate_store)
    answers = await at_once([second], [new_key() for _ in range(100)])
    assert answers == {401: 4, 429: 96}
    assert await look_ups(tidegate_store) - before == 4


async def test_a_thousand_malformed_guesses_at_once_are_no_more_than_twenty(opened):
    kit = await opened(auth_failures="20/h")
    answers = await at_once([kit], [f"guess{number}" for number in range(1000)])
    assert answers == {401: 20, 429: 980}


@pytest.mark.parametrize("failed", [0, 15, 19])
async def test_an_office_of_good_keys_is_let_in_by_a_worker_that_has_met_none(
    opened, tidegate_store, failed
):
    kit = await opened(auth_failures="20/h")
    keys = await good_keys(kit, 50)
    await statuses(kit, failed)
    # Each in several requests: who waits for a turn with a key found meanwhile reads it no more.
    before = await look_ups(tidegate_store)
    assert await at_once([kit], keys * 4) == {200: 200}
    assert await look_ups(tidegate_store) - before == 50
    assert await statuses(kit, 20 - failed) == [401] * (20 - failed)
    assert await statuses(kit, 1) == [429]


async def test_who_came_before_the_last_failure_is_let_in_and_who_waits_behind_it_is_not(
    opened, tidegate_store
):
    kit = await opened(auth_failures="20/h")
    keys = await good_keys(kit, 6)
    await statuses(kit, 19)
    in_turn = [*keys[:3], new_key(), *keys[3:], new_key()]
    answers = await asyncio.gather(*(kit.get("/api/x", key=key) for key in in_turn))
    assert [answer.status for answer in answers] == [200, 200, 200, 401, 429, 429, 429, 429]
    assert 1 <= int(answers[-1].header("retry-after")) <= 180
    assert await at_once([kit], keys) == {200: 3, 429: 3}


async def test_a_client_that_goes_away_while_it_waits_leaves_no_trace(opened, tidegate_store):
    kit = await opened(auth_failures="20/h")
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


async def test_who_hangs_up_on_a_look_up_has_guessed(opened, tidegate_store):
    kit, other = [await opened(auth_failures="3/h") for _ in range(2)]
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


async def test_who_hangs_up_on_a_key_that_is_one_has_not_guessed(opened, monkeypatch):
    kit = await opened(auth_failures="2/h")
    for key in await good_keys(kit, 5):
        await hang_up(kit, key)
    assert await statuses(kit, 1) == [401]
    await hang_up(kit, new_key())
    assert await statuses(kit, 1) == [429]


async def test_a_look_up_that_nobody_waits_for_may_fail(opened, monkeypatch):
    kit = await opened(auth_failures="1/h")
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


async def test_an_ipv6_site_is_one_address(opened):
    kit = await opened()
    for number in range(20):
        assert await statuses(kit, 1, client=f"2001:db8:1:2::{number:x}") == [401]
    assert await statuses(kit, 1, client="2001:db8:1:2:9::") == [429]
    assert await statuses(kit, 1, client="2001:db8:1:3::1") == [401]


async def test_a_trusted_proxy_tells_whose_failure_it_is(opened):
    kit = await opened(trusted_proxies=["10.0.0.0/8"])

    async def from_proxy(claim: str, key: str = "wrong") -> int:
        headers = {"X-Forwarded-For": claim}
        return (await kit.get("/api/x", key=key, headers=headers, client="10.0.0.1")).status

    # The left of the list is the client's own invention.
    assert [await from_proxy(f"198.51.100.{n}, 203.0.113.9") for n in range(20)] == [401] * 20
    assert await from_proxy("203.0.113.9") == 429
    assert await from_proxy("203.0.113.9", "premium_user") == 200
    assert await from_proxy("198.51.100.1") == 401
    assert await from_proxy("") == 401


async def test_nobody_can_spend_the_failures_of_another(opened):
    kit = await opened(trusted_proxies=["10.0.0.0/8"])
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
    assert 429 in await statuses(kit, 22, headers=spoofed, client=OTHER)
    assert await statuses(kit, 1, client="203.0.113.9") == [401]


async def test_a_client_without_an_address_is_not_held_up(opened):
    kit = await opened()
    assert await statuses(kit, 30, client="") == [401] * 30


async def test_the_bound_is_the_configurations_and_null_is_none(opened):
    assert await statuses(await opened(auth_failures="2/m"), 3) == [401, 401, 429]
    off = await opened(auth_failures=None)
    assert await statuses(off, 30, client=OTHER) == [401] * 30


async def test_a_worker_counts_for_itself_while_the_store_is_down(opened, monkeypatch):
    kit = await opened()

    def down(*_) -> asyncio.Future:
        raise StoreUnavailable("down")

    monkeypatch.setattr(Limiter, "ask", down)
    assert await statuses(kit, 21) == [401] * 20 + [429]


async def test_a_key_that_cannot_be_looked_up_is_no_failure(opened, monkeypatch):
    kit = await opened()

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
    throttle = AuthThrottle(Rate(1, "minute"), Limiter(tidegate_store))
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


async def test_no_more_wait_than_a_bound(tidegate_store, monkeypatch):
    monkeypatch.setattr(auth_turns, "WAITING_MAX", 2)
    throttle = AuthThrottle(Rate(1, "hour"), Limiter(tidegate_store))
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
    throttle = AuthThrottle(Rate(1, "hour"), Limiter(tidegate_store))
    await throttle.enter(b"a")
    with pytest.raises(AuthThrottled, match="wait to be looked up"):
        await throttle.enter(b"a")
    throttle.leave(b"a")
    assert not throttle._turns


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_place_that_comes_as_its_waiter_goes_is_the_next_ones(
    tidegate_store, monkeypatch, is_late
):
    throttle = AuthThrottle(Rate(1, "hour"), Limiter(tidegate_store))
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
    throttle = _Throttle(rate, _Nowhere(), clock=lambda: now[0])
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
