import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.identity.conftest import known
from tidegate.config.schema import Config, TokenBucket
from tidegate.http.errors import StoreUnavailable, Unauthorized
from tidegate.identity import (
    InvalidObject,
    KeyResolver,
    NameTaken,
    ObjectChanged,
    ObjectNotFound,
    ReadOnlyObject,
    Repository,
    TooManySecrets,
)
from tidegate.identity.key_format import digest
from tidegate.identity.layout import key_record
from tidegate.store import Store

Eventually = Callable[..., Awaitable[None]]
OpenStore = Callable[..., Awaitable[Store]]


@pytest.fixture
async def resolvers(
    config: Config, open_another: OpenStore, eventually: Eventually
) -> list[KeyResolver]:
    stores = [await open_another() for _ in range(2)]
    resolvers = [KeyResolver(config, store) for store in stores]
    await eventually(lambda: all(store.tracking.is_live for store in stores))
    return resolvers


async def works(resolver: KeyResolver, key: str) -> bool:
    try:
        await resolver.resolve(key.encode())
    except Unauthorized:
        return False
    return True


async def _known_old_secret(repository: Repository, resolver: KeyResolver) -> bytes:
    """Return a secret that ends in 20 s, of which `resolver` has a copy."""
    created = await repository.create_key("demo", "laptop")
    await repository.rotate_key(created.stored.key_id, 20)
    presented = created.key.encode()
    async with asyncio.timeout(2.0):
        while known(resolver, presented) is None:
            await resolver.resolve(presented)
    return presented


async def test_old_and_new_secret_are_one_key_while_they_overlap(
    repository: Repository, resolvers: list[KeyResolver]
) -> None:
    created = await repository.create_key("demo", "laptop")
    rotated = await repository.rotate_key(created.stored.key_id, 60)
    assert rotated.key != created.key
    callers = [await resolvers[0].resolve(key.encode()) for key in (created.key, rotated.key)]
    assert {(c.key_id, c.key_name) for c in callers} == {(created.stored.key_id, "laptop")}
    assert (await repository.list_keys(tenant="demo")).items[0] == rotated.stored
    assert rotated.stored.created_at == created.stored.created_at
    assert rotated.stored.rotated_at is not None
    assert rotated.stored.older_end_at is not None
    assert 60 <= rotated.stored.older_end_at - rotated.stored.rotated_at <= 61


async def test_an_old_secret_ends_on_its_time_in_every_gateway_that_knows_it(
    repository: Repository, resolvers: list[KeyResolver]
) -> None:
    created = await repository.create_key("demo", "laptop")
    for resolver in resolvers:
        await resolver.resolve(created.key.encode())
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    rotated = await repository.rotate_key(created.stored.key_id, 1)
    for resolver in resolvers:
        assert await works(resolver, created.key)
        assert await works(resolver, rotated.key)
    while any([await works(resolver, created.key) for resolver in resolvers]):
        assert loop.time() - started_at < 2.0
        await asyncio.sleep(0.005)
    assert loop.time() - started_at > 0.9
    assert all([await works(resolver, rotated.key) for resolver in resolvers])


async def test_a_copy_ends_by_itself_though_nobody_tells(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    eventually: Eventually,
) -> None:
    now = [1000.0]
    store = await open_another()
    resolver = KeyResolver(config, store, clock=lambda: now[0])
    await eventually(lambda: store.tracking.is_live)
    presented = await _known_old_secret(repository, resolver)
    now[0] += 19.0
    assert known(resolver, presented) is not None
    now[0] += 1.1
    assert known(resolver, presented) is None


async def test_an_outage_does_not_lengthen_an_old_secret(
    config: Config,
    open_another: OpenStore,
    repository: Repository,
    proxy: Any,
    eventually: Eventually,
) -> None:
    now = [1000.0]
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store, clock=lambda: now[0])
    await eventually(lambda: store.tracking.is_live)
    presented = await _known_old_secret(repository, resolver)
    await proxy.cut()
    await eventually(lambda: not store.is_up and not store.tracking.is_live)
    now[0] += 19.0
    assert (await resolver.resolve(presented)).key_name == "laptop"
    now[0] += 1.1
    with pytest.raises(StoreUnavailable):
        await resolver.resolve(presented)


async def test_an_overlap_of_nothing_ends_every_old_secret_at_once(
    repository: Repository, resolvers: list[KeyResolver], store: Store, eventually: Eventually
) -> None:
    created = await repository.create_key("demo", "laptop")
    key_id = created.stored.key_id
    second = await repository.rotate_key(key_id, 60)
    for key in (created.key, second.key):
        await resolvers[0].resolve(key.encode())
    third = await repository.rotate_key(key_id, 0)
    for key in (created.key, second.key):
        await eventually(lambda key=key: known(resolvers[0], key.encode()) is None, 1.0)
        assert not await works(resolvers[0], key)
    assert await works(resolvers[0], third.key)
    assert len(await store.execute("KEYS", "tg:key:*")) == 1


async def test_no_rotation_gives_an_old_secret_more_time(
    repository: Repository, store: Store
) -> None:
    created = await repository.create_key("demo", "laptop")
    second = await repository.rotate_key(created.stored.key_id, 10)
    await repository.rotate_key(created.stored.key_id, 1000)
    left_ms = [
        await store.execute("PTTL", key_record(store, digest(key.encode())))
        for key in (created.key, second.key)
    ]
    assert left_ms[0] <= 10_000 < left_ms[1] <= 1_000_000
    await repository.rotate_key(created.stored.key_id, 5)
    for key in (created.key, second.key):
        assert await store.execute("PTTL", key_record(store, digest(key.encode()))) <= 5000


async def test_old_secrets_are_bounded(repository: Repository, store: Store) -> None:
    key_id = (await repository.create_key("demo", "laptop")).stored.key_id
    for _ in range(4):
        await repository.rotate_key(key_id, 60)
    with pytest.raises(TooManySecrets):
        await repository.rotate_key(key_id, 60)
    assert len(await store.execute("KEYS", "tg:key:*")) == 5
    await repository.rotate_key(key_id, 0)
    await repository.rotate_key(key_id, 60)


async def test_of_many_rotations_at_once_each_secret_works(
    repository: Repository, resolvers: list[KeyResolver]
) -> None:
    created = await repository.create_key("demo", "laptop")
    rotated = await asyncio.gather(
        *(repository.rotate_key(created.stored.key_id, 60) for _ in range(3))
    )
    for key in (created.key, *(one.key for one in rotated)):
        assert await works(resolvers[0], key)


async def test_revoking_ends_every_secret_and_leaves_nothing(
    repository: Repository, store: Store
) -> None:
    before = set(await store.execute("KEYS", "*"))
    created = await repository.create_key("demo", "laptop")
    await repository.rotate_key(created.stored.key_id, 60)
    await repository.rotate_key(created.stored.key_id, 60)
    await repository.revoke_key(created.stored.key_id)
    assert set(await store.execute("KEYS", "*")) - {b"tg:durable"} == before


async def test_a_revocation_wins_over_rotations_at_the_same_time(
    repository: Repository, store: Store
) -> None:
    for round_ in range(5):
        created = await repository.create_key("demo", f"laptop{round_}")
        key_id = created.stored.key_id
        outcomes = await asyncio.gather(
            *(repository.rotate_key(key_id, 60) for _ in range(2)),
            repository.revoke_key(key_id),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[-1], Exception)
        assert not await store.execute("KEYS", "tg:key:*")


async def test_a_deleted_tenant_takes_old_secrets_along(
    repository: Repository, store: Store
) -> None:
    await repository.tenants.put("acme", "free")
    created = await repository.create_key("acme", "laptop")
    await repository.rotate_key(created.stored.key_id, 60)
    await repository.delete_tenant("acme")
    assert await store.execute("KEYS", "tg:key:*") == []


async def test_a_new_name_is_everywhere(
    repository: Repository, resolvers: list[KeyResolver], eventually: Eventually
) -> None:
    created = await repository.create_key("demo", "laptop")
    key_id = created.stored.key_id
    rotated = await repository.rotate_key(key_id, 60)
    await resolvers[0].resolve(created.key.encode())
    renamed = await repository.rename_key(key_id, "phone")
    assert renamed.name == "phone"
    assert await repository.get_key(key_id) == renamed
    assert await repository.rename_key(key_id, "phone") == renamed
    assert (await repository.list_keys(tenant="demo")).items[0].name == "phone"
    await eventually(lambda: known(resolvers[0], created.key.encode()) is None, 1.0)
    for key in (created.key, rotated.key):
        assert (await resolvers[0].resolve(key.encode())).key_name == "phone"
    await repository.create_key("demo", "laptop")
    for taken in ("laptop", "user_1"):
        with pytest.raises(NameTaken):
            await repository.rename_key(key_id, taken)
    await repository.revoke_key(key_id)


async def test_renaming_does_not_bring_back_what_has_ended(
    repository: Repository, store: Store
) -> None:
    created = await repository.create_key("demo", "laptop")
    await repository.rotate_key(created.stored.key_id, 60)
    await store.execute("DEL", key_record(store, digest(created.key.encode())))
    await repository.rename_key(created.stored.key_id, "phone")
    assert len(await store.execute("KEYS", "tg:key:*")) == 1


async def test_only_what_there_is_and_the_file_does_not_say_is_rotated(
    repository: Repository,
) -> None:
    of_file = (await repository.list_keys()).items[0].key_id
    for change in (repository.rotate_key(of_file, 0), repository.rename_key(of_file, "x")):
        with pytest.raises(ReadOnlyObject):
            await change
    for change in (repository.rotate_key("key_x", 0), repository.rename_key("key_x", "x")):
        with pytest.raises(ObjectNotFound):
            await change
    for overlap_s in (-1, 30 * 86_400 + 1):
        with pytest.raises(InvalidObject):
            await repository.rotate_key(of_file, overlap_s)


async def test_what_was_spent_stays_with_the_key(
    repository: Repository, resolvers: list[KeyResolver]
) -> None:
    created = await repository.create_key("demo", "laptop")
    rotated = await repository.rotate_key(created.stored.key_id, 60)
    callers = [await resolvers[0].resolve(key.encode()) for key in (created.key, rotated.key)]
    assert callers[0].key_id == callers[1].key_id


# -- revisions of tenants and plans ---------------------------------------------------------------


async def test_a_change_meant_for_another_revision_changes_nothing(repository: Repository) -> None:
    bucket = TokenBucket(name="steady", rate="1/s", burst=1)
    first = await repository.plans.put("gold", ())
    second = await repository.plans.put("gold", (bucket,), str(first.item.revision))
    assert (first.is_new, second.is_new) == (True, False)
    for expected in (str(first.item.revision), "absent"):
        with pytest.raises(ObjectChanged):
            await repository.plans.put("gold", (), expected)
    assert await repository.plans.get("gold") == second.item

    tenant = await repository.tenants.put("acme", "gold", "absent")
    moved = await repository.tenants.put("acme", "free", str(tenant.item.revision))
    for expected in (str(tenant.item.revision), "absent"):
        with pytest.raises(ObjectChanged):
            await repository.tenants.put("acme", "gold", expected)
    assert await repository.tenants.get("acme") == moved.item


async def test_an_object_made_anew_has_another_revision(repository: Repository) -> None:
    first = (await repository.plans.put("gold", ())).item
    await repository.plans.delete("gold")
    second = (await repository.plans.put("gold", ())).item
    assert first.revision != second.revision
    with pytest.raises(ObjectChanged):
        await repository.plans.put("silver", (), str(first.revision))


async def test_of_many_who_change_one_revision_one_does(repository: Repository) -> None:
    plan = (await repository.plans.put("gold", ())).item
    outcomes = await asyncio.gather(
        *(repository.plans.put("gold", (), str(plan.revision)) for _ in range(8)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(ObjectChanged) == 7
