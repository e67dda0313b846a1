import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.identity.conftest import known
from tidegate.config.schema import Config, TokenBucket
from tidegate.http.errors import StoreUnavailable, Unauthorized
from tidegate.identity import (
    CreatedKey,
    KeyResolver,
    PlanMissing,
    RecordUnreadable,
    Repository,
    Stranger,
    new_key,
)
from tidegate.identity import resolver as resolver_module
from tidegate.identity.key_format import digest
from tidegate.identity.layout import key_record
from tidegate.store import Store, Tracking

Eventually = Callable[..., Awaitable[None]]
OpenStore = Callable[..., Awaitable[Store]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def resolver(config: Config, store: Store, eventually: Eventually) -> KeyResolver:
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    return resolver


async def reads(store: Store) -> int:
    """How often the server was asked for a record."""
    lines: bytes = await store.execute("INFO", "commandstats")
    calls = lines.partition(b"cmdstat_hmget:calls=")[2].partition(b",")[0]
    return int(calls or b"0")


async def create(repository: Repository, path: str, *told: Tracking) -> CreatedKey:
    """Create a key and wait until its creation has been told: a copy made before is dropped."""
    events = [asyncio.Event() for _ in told]
    for tracking, event in zip(told, events, strict=True):
        tracking.watch(b"tg:key:", lambda key, e=event: e.set() if key else None)
    created = await repository.create_key(*path.split("/"))
    for event in events:
        await asyncio.wait_for(event.wait(), 1.0)
    return created


async def refused(resolver: KeyResolver, presented: bytes) -> str:
    with pytest.raises(Unauthorized) as refusal:
        await resolver.resolve(presented)
    assert b"ApiKey" in (refusal.value.headers.get(b"www-authenticate") or b"")
    assert presented.decode("latin-1") not in refusal.value.detail or not presented
    return refusal.value.detail


# -- keys of the file, and what is refused before any I/O -----------------------------------------


async def test_a_key_of_the_file_needs_no_store(
    config: Config, open_another: OpenStore, proxy: Any
) -> None:
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store)
    await proxy.cut()
    caller = known(resolver, b"demo_key")
    assert caller is not None
    assert await resolver.resolve(b"demo_key") is caller
    assert (caller.tenant, caller.plan, caller.key_name) == ("demo", "free", "user_1")
    assert caller.own.plan == config.plans["free"].limits
    assert caller.upstream_headers == (
        (b"x-tidegate-tenant", b"demo"),
        (b"x-tidegate-plan", b"free"),
        (b"x-tidegate-key-id", caller.key_id.encode()),
    )


@pytest.mark.parametrize(
    ("presented", "reason"),
    [
        (b"", "malformed"),
        (b"demo_kez", "not known"),
        (b"tg_live_short", "checksum"),
        (new_key().encode()[:-1], "checksum"),
        (b"x" * 257, "malformed"),
        (b"demo key", "malformed"),
        (b"demo_key\n", "malformed"),
        (b"\xff\x00", "malformed"),
    ],
)
async def test_what_cannot_be_a_stored_key_is_refused_while_the_store_is_away(
    config: Config, open_another: OpenStore, proxy: Any, presented: bytes, reason: str
) -> None:
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store)
    await proxy.cut()
    assert reason in await refused(resolver, presented)


@pytest.mark.parametrize("which", ["file", "store"])
async def test_the_verdict_is_that_of_the_constant_time_comparison(
    resolver: KeyResolver,
    repository: Repository,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
) -> None:
    presented = b"demo_key"
    if which == "store":
        presented = (await create(repository, "demo/laptop", store.tracking)).key.encode()
        await resolver.resolve(presented)
    assert known(resolver, presented) is not None
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: bool(compared.append(pair)))
    assert known(resolver, presented) is None
    # Whole hashes: of the file's keys the marks of this process, which nobody can predict.
    [(held, asked)] = compared
    assert held == asked
    assert (held == digest(presented)) is (which == "store")
    assert len(held) == 32
    # Nor is it read under the digest of another, should two marks ever be one.
    stranger = resolver.recognise(presented)
    assert isinstance(stranger, Stranger)
    assert stranger.digest == (b"" if which == "file" else digest(presented))


async def test_a_key_is_hashed_once_on_its_way_to_a_401(
    resolver: KeyResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []

    def noted(presented: bytes) -> bytes:
        hashed.append(presented)
        return digest(presented)

    monkeypatch.setattr(resolver_module, "digest", noted)
    wrong, other = new_key().encode(), new_key().encode()
    stranger = resolver.recognise(wrong)
    assert isinstance(stranger, Stranger)
    assert not resolver.has_met(stranger)
    with pytest.raises(Unauthorized):
        await resolver.look_up(stranger)
    assert hashed == [wrong]
    # What is left of one is not taken for another's.
    assert isinstance(between := resolver.recognise(other), Stranger)
    assert (stranger.digest, between.digest) == (digest(wrong), digest(other))
    assert isinstance(too_long := resolver.recognise(b"x" * 257), Stranger)
    assert (too_long.digest, hashed) == (b"", [wrong, other])


async def test_who_was_found_meanwhile_is_not_read_again(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    presented = (await create(repository, "demo/laptop", store.tracking)).key.encode()
    stranger = resolver.recognise(presented)
    assert isinstance(stranger, Stranger)
    caller = await resolver.resolve(presented)
    before = await reads(store)
    assert await resolver.look_up(stranger) is caller
    assert await reads(store) == before


async def test_a_tenant_that_left_the_file_takes_all_its_keys_along(
    make_config: Callable[..., Config], store: Store, repository: Repository
) -> None:
    created = await repository.create_key("demo", "laptop")
    later = KeyResolver(make_config("other"), store)
    assert "not known" in await refused(later, b"demo_key")
    assert "not known" in await refused(later, created.key.encode())


# -- keys of the store ----------------------------------------------------------------------------


async def test_a_created_key_works_at_once_and_is_then_known(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    created = await create(repository, "demo/laptop", store.tracking)
    presented = created.key.encode()
    assert known(resolver, presented) is None
    before = await reads(store)
    caller = await resolver.resolve(presented)
    assert (caller.key_id, caller.key_name) == (created.stored.key_id, "laptop")
    assert await resolver.resolve(presented) is caller
    assert known(resolver, presented) is caller
    assert await reads(store) == before + 1


async def test_plan_and_tenant_may_be_in_the_store(
    resolver: KeyResolver, repository: Repository
) -> None:
    limits = (TokenBucket(name="steady", rate="100/s", burst=200, per="tenant"),)
    await repository.plans.put("gold", limits)
    await repository.tenants.put("acme", "gold")
    created = await repository.create_key("acme", "laptop")
    caller = await resolver.resolve(created.key.encode())
    assert (caller.tenant, caller.plan, caller.own.plan) == ("acme", "gold", limits)


async def test_a_changed_plan_and_a_moved_tenant_are_seen_without_asking(
    resolver: KeyResolver, repository: Repository, store: Store, eventually: Eventually
) -> None:
    await repository.plans.put("gold", ())
    await repository.tenants.put("acme", "gold")
    presented = (await create(repository, "acme/laptop", store.tracking)).key.encode()
    for change, plan, count in (
        (repository.plans.put("gold", (TokenBucket(name="s", rate="1/s", burst=1),)), "gold", 1),
        (repository.tenants.put("acme", "free"), "free", 1),
    ):
        await resolver.resolve(presented)
        assert known(resolver, presented) is not None
        await change
        await eventually(lambda: known(resolver, presented) is None, 1.0)
        caller = await resolver.resolve(presented)
        assert (caller.plan, len(caller.own.plan)) == (plan, count)


async def test_an_unknown_key_is_read_once(resolver: KeyResolver, store: Store) -> None:
    presented = new_key().encode()
    before = await reads(store)
    for _ in range(3):
        assert "not known" in await refused(resolver, presented)
    assert await reads(store) == before + 1


async def test_a_refused_key_works_as_soon_as_it_exists(
    resolver: KeyResolver, repository: Repository, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    presented = new_key()
    await refused(resolver, presented.encode())
    monkeypatch.setattr("tidegate.identity.repository.new_key", lambda: presented)
    seen = asyncio.Event()
    store.tracking.watch(b"tg:key:", lambda _: seen.set())
    await repository.create_key("demo", "laptop")
    await asyncio.wait_for(seen.wait(), 1.0)
    assert (await resolver.resolve(presented.encode())).key_name == "laptop"


async def test_a_key_is_unknown_only_as_long_as_its_tenant_is(
    resolver: KeyResolver, store: Store, make_config: Callable[..., Config], eventually: Eventually
) -> None:
    created = await Repository(make_config("acme"), store).create_key("acme", "laptop")
    await refused(resolver, created.key.encode())
    await store.execute("HSET", "tg:tenant:acme", "plan", "free", "created_at", 1)
    async with asyncio.timeout(1.0):
        while True:
            try:
                await resolver.resolve(created.key.encode())
                break
            except Unauthorized:
                await asyncio.sleep(0.005)


async def test_refusals_do_not_outlive_their_bound(
    config: Config, store: Store, eventually: Eventually
) -> None:
    clock = Clock()
    resolver = KeyResolver(config, store, clock=clock)
    await eventually(lambda: store.tracking.is_live)
    presented = new_key().encode()
    await refused(resolver, presented)
    before = await reads(store)
    clock.now += 4.9
    await refused(resolver, presented)
    assert await reads(store) == before
    clock.now += 0.2
    await refused(resolver, presented)
    assert await reads(store) == before + 1


# -- revoking -------------------------------------------------------------------------------------


async def test_a_revoked_key_stops_in_another_gateway_within_a_second(
    config: Config, open_another: OpenStore, repository: Repository, eventually: Eventually
) -> None:
    stores = [await open_another() for _ in range(2)]
    resolvers = [KeyResolver(config, store) for store in stores]
    await eventually(lambda: all(store.tracking.is_live for store in stores))
    loop = asyncio.get_running_loop()
    for round_ in range(5):
        created = await create(
            repository, f"demo/laptop{round_}", *(store.tracking for store in stores)
        )
        presented = created.key.encode()
        for resolver in resolvers:
            assert await resolver.resolve(presented) is known(resolver, presented)
        revoking = asyncio.create_task(repository.revoke_key(created.stored.key_id))
        started_at = loop.time()
        while any(known(resolver, presented) for resolver in resolvers):
            assert loop.time() - started_at < 1.0
            await asyncio.sleep(0.001)
        for resolver in resolvers:
            await refused(resolver, presented)
        await revoking


async def test_deleting_a_tenant_stops_its_keys(
    resolver: KeyResolver, repository: Repository, store: Store, eventually: Eventually
) -> None:
    await repository.tenants.put("acme", "free")
    presented = (await create(repository, "acme/laptop", store.tracking)).key.encode()
    await resolver.resolve(presented)
    await repository.delete_tenant("acme")
    await eventually(lambda: known(resolver, presented) is None, 1.0)
    await refused(resolver, presented)


async def test_a_reading_that_a_revocation_overtook_is_not_kept(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    store: Store,
    proxy: Any,
    eventually: Eventually,
) -> None:
    """Order: the server answers, the key is revoked, the revocation arrives, then the answer."""
    slow = await open_another(proxy.url, timeout=5.0)
    parts: Any = SimpleNamespace(is_cluster=False, execute=slow.execute, tracking=store.tracking)
    resolver = KeyResolver(config, parts)
    await eventually(lambda: store.tracking.is_live)
    created = await create(repository, "demo/laptop", store.tracking)
    overtaken = asyncio.Event()
    store.tracking.watch(b"tg:key:", lambda key: overtaken.set() if key else None)

    before = await reads(store)
    proxy.hold()
    early = asyncio.create_task(resolver.resolve(created.key.encode()))
    await proxy.asked.wait()
    while await reads(store) == before:  # noqa: ASYNC110 the server sets no event
        await asyncio.sleep(0.001)
    await repository.revoke_key(created.stored.key_id)
    await asyncio.wait_for(overtaken.wait(), 1.0)
    late = asyncio.create_task(resolver.resolve(created.key.encode()))
    await asyncio.sleep(0)
    proxy.flows.set()

    assert (await early).key_name == "laptop"
    assert known(resolver, created.key.encode()) is None
    with pytest.raises(Unauthorized):
        await late


async def test_copies_are_read_again_while_tracking_is_not_live(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    store: Store,
    proxy: Any,
    eventually: Eventually,
) -> None:
    deaf = await open_another(proxy.url)
    parts: Any = SimpleNamespace(is_cluster=False, execute=store.execute, tracking=deaf.tracking)
    resolver = KeyResolver(config, parts)
    await eventually(lambda: deaf.tracking.is_live)
    created = await create(repository, "demo/laptop", deaf.tracking)
    presented = created.key.encode()
    await resolver.resolve(presented)
    assert known(resolver, presented) is not None

    await proxy.cut()
    await eventually(lambda: not deaf.tracking.is_live)
    assert known(resolver, presented) is None
    assert (await resolver.resolve(presented)).key_name == "laptop"
    assert known(resolver, presented) is None
    await repository.revoke_key(created.stored.key_id)
    await refused(resolver, presented)
    await store.execute(
        "HSET", key_record(store, digest(presented)), "id", "k", "tenant", "demo", "name", "back"
    )
    assert (await resolver.resolve(presented)).key_name == "back"


async def test_what_was_copied_before_tracking_broke_is_read_again_after_it_is_back(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    store: Store,
    proxy: Any,
    eventually: Eventually,
) -> None:
    deaf = await open_another(proxy.url)
    parts: Any = SimpleNamespace(is_cluster=False, execute=store.execute, tracking=deaf.tracking)
    resolver = KeyResolver(config, parts)
    await eventually(lambda: deaf.tracking.is_live)
    created = await create(repository, "demo/laptop", deaf.tracking)
    presented = created.key.encode()
    await resolver.resolve(presented)
    refused_before = new_key().encode()
    await refused(resolver, refused_before)

    await proxy.cut()
    await eventually(lambda: not deaf.tracking.is_live)
    await repository.revoke_key(created.stored.key_id)
    await store.execute(
        "HSET",
        key_record(store, digest(refused_before)),
        "id",
        "k",
        "tenant",
        "demo",
        "name",
        "new",
    )
    await proxy.start()
    await eventually(lambda: deaf.tracking.is_live)
    assert known(resolver, presented) is None
    await refused(resolver, presented)
    assert (await resolver.resolve(refused_before)).key_name == "new"


async def test_a_process_that_was_stopped_wakes_up_with_nothing_verified(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    presented = (await create(repository, "demo/laptop", store.tracking)).key.encode()
    await resolver.resolve(presented)
    assert known(resolver, presented) is not None
    time.sleep(0.6)  # noqa: ASYNC251 that the loop stands still is the point
    assert known(resolver, presented) is None
    assert (await resolver.resolve(presented)).key_name == "laptop"


# -- many at once ---------------------------------------------------------------------------------


async def test_many_requests_with_one_new_key_cost_one_reading(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    presented = (await repository.create_key("demo", "laptop")).key.encode()
    before = await reads(store)
    callers = await asyncio.gather(*(resolver.resolve(presented) for _ in range(100)))
    assert len(set(callers)) == 1
    assert await reads(store) == before + 1


async def test_a_waiter_that_is_cancelled_takes_nothing_from_the_others(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    proxy: Any,
    eventually: Eventually,
) -> None:
    store = await open_another(proxy.url, timeout=5.0)
    resolver = KeyResolver(config, store)
    presented = (await repository.create_key("demo", "laptop")).key.encode()
    proxy.hold()
    waiters = [asyncio.create_task(resolver.resolve(presented)) for _ in range(3)]
    await proxy.asked.wait()
    waiters[0].cancel()
    outcome = await asyncio.gather(waiters[0], return_exceptions=True)
    assert isinstance(outcome[0], asyncio.CancelledError)
    proxy.flows.set()
    assert [(await waiter).key_name for waiter in waiters[1:]] == ["laptop"] * 2


async def test_a_reading_whose_waiters_all_left_ends_quietly(
    config: Config, open_another: OpenStore, repository: Repository, proxy: Any
) -> None:
    store = await open_another(proxy.url, timeout=5.0)
    resolver = KeyResolver(config, store)
    proxy.hold()
    waiter = asyncio.create_task(resolver.resolve(new_key().encode()))
    await proxy.asked.wait()
    (reading,) = resolver._readings.values()
    waiter.cancel()
    await proxy.cut()
    assert isinstance(await reading.task, StoreUnavailable)
    assert not resolver._readings


async def test_each_waiter_gets_an_error_of_its_own(
    config: Config, open_another: OpenStore, proxy: Any
) -> None:
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store)
    await proxy.cut()
    presented = new_key().encode()
    first, second = await asyncio.gather(
        *(resolver.resolve(presented) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(first, StoreUnavailable)
    assert isinstance(second, StoreUnavailable)
    first.headers.append((b"x-request-id", b"1"))
    assert second.headers.get(b"x-request-id") is None
    assert second.headers.get(b"retry-after") is not None
    assert second.detail


# -- the store is away ----------------------------------------------------------------------------


async def test_a_known_key_serves_sixty_seconds_of_an_outage(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    proxy: Any,
    eventually: Eventually,
) -> None:
    clock = Clock()
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store, clock=clock)
    await eventually(lambda: store.tracking.is_live)
    presented = (await create(repository, "demo/laptop", store.tracking)).key.encode()
    caller = await resolver.resolve(presented)
    await proxy.cut()
    await eventually(lambda: not store.is_up and not store.tracking.is_live)
    assert known(resolver, presented) is None
    clock.now += 60.0
    assert await resolver.resolve(presented) is caller
    clock.now += 0.1
    with pytest.raises(StoreUnavailable):
        await resolver.resolve(presented)
    with pytest.raises(StoreUnavailable):
        await resolver.resolve(new_key().encode())


async def test_an_outage_does_not_bring_back_a_key_that_was_seen_revoked(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    proxy: Any,
    eventually: Eventually,
) -> None:
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    created = await create(repository, "demo/laptop", store.tracking)
    presented = created.key.encode()
    await resolver.resolve(presented)
    await proxy.cut()
    await eventually(lambda: not store.is_up)
    await repository.revoke_key(created.stored.key_id)
    await proxy.start()
    await eventually(lambda: store.is_up)
    await refused(resolver, presented)
    await proxy.cut()
    await eventually(lambda: not store.is_up and not store.tracking.is_live)
    with pytest.raises(StoreUnavailable):
        await resolver.resolve(presented)


async def test_a_copy_is_read_again_after_its_lifetime(
    config: Config, store: Store, repository: Repository, eventually: Eventually
) -> None:
    clock = Clock()
    resolver = KeyResolver(config, store, clock=clock)
    await eventually(lambda: store.tracking.is_live)
    presented = (await create(repository, "demo/laptop", store.tracking)).key.encode()
    await resolver.resolve(presented)
    clock.now += 29.9
    assert known(resolver, presented) is not None
    clock.now += 0.2
    assert known(resolver, presented) is None
    assert (await resolver.resolve(presented)).key_name == "laptop"
    assert known(resolver, presented) is not None


async def test_a_missing_plan_is_no_401(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    await repository.plans.put("gold", ())
    await repository.tenants.put("acme", "gold")
    presented = (await repository.create_key("acme", "laptop")).key.encode()
    await store.execute("DEL", "tg:plan:gold")
    with pytest.raises(PlanMissing, match="plan gold"):
        await resolver.resolve(presented)


async def test_a_record_that_cannot_be_read_is_no_401(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    await repository.plans.put("gold", ())
    await repository.tenants.put("acme", "gold")
    presented = (await repository.create_key("acme", "laptop")).key.encode()
    await store.execute("HSET", "tg:plan:gold", "limits", '[{"name":"a","leak":"1/s"}]')
    with pytest.raises(RecordUnreadable):
        await resolver.resolve(presented)
    await store.execute("HDEL", key_record(store, digest(presented)), "tenant")
    with pytest.raises(RecordUnreadable):
        await resolver.resolve(presented)


async def test_a_closed_resolver_watches_nothing(
    resolver: KeyResolver, repository: Repository, store: Store
) -> None:
    created = await create(repository, "demo/laptop", store.tracking)
    await resolver.resolve(created.key.encode())
    resolver.close()
    seen = asyncio.Event()
    store.tracking.watch(b"tg:key:", lambda _: seen.set())
    await repository.revoke_key(created.stored.key_id)
    await asyncio.wait_for(seen.wait(), 1.0)
    assert len(resolver._copies) == 1
