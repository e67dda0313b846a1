import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tidegate.config.places import Places
from tidegate.config.problems import Mark
from tidegate.config.schema import Config, Quota, TokenBucket
from tidegate.identity import (
    InvalidObject,
    NameTaken,
    ObjectInUse,
    ObjectNotFound,
    ReadOnlyObject,
    Repository,
    is_well_formed,
)
from tidegate.store import Store

GOLD = (
    TokenBucket(name="steady", rate="100/s", burst=200, per="tenant"),
    Quota(name="daily", quota="1000/day"),
)


@pytest.fixture
def repository(config: Config, store: Store) -> Repository:
    named = (("key", "demo/user_1"), ("tenant", "demo"), ("plan", "free"))
    return Repository(config.placed(Places({name: Mark("gate.yaml", 7) for name in named})), store)


async def test_a_created_key_is_well_formed_and_listed_without_its_secret(
    repository: Repository, store: Store
) -> None:
    created = await repository.create_key("demo", "laptop")
    assert is_well_formed(created.key.encode())
    assert created.key not in repr(created)
    assert await repository.get_key(created.stored.key_id) == created.stored
    listed = (await repository.list_keys()).items
    assert [(key.name, key.origin) for key in listed] == [("laptop", "api"), ("user_1", "file")]


async def test_a_key_whose_tenant_is_gone_is_told_to_be_out_of_force(
    repository: Repository, config: Config, store: Store
) -> None:
    """Neither the file nor the store has the tenant: the key opens nothing until one does."""
    created = await repository.create_key("demo", "laptop")
    later = Repository(config.model_copy(update={"tenants": ()}), store)
    left = replace(created.stored, in_force=False)
    assert (await later.list_keys()).items == (left,)
    assert await later.get_key(left.key_id) == left
    assert (await later.rotate_key(left.key_id, 0)).stored.in_force is False
    assert created.stored.in_force
    await later.plans.put("gold", GOLD)
    await later.tenants.put("acme", "gold")
    assert (await later.create_key("acme", "ci")).stored.in_force
    assert [key.in_force for key in (await later.list_keys(tenant="acme")).items] == [True]
    assert (await later.revoke_key(left.key_id)).stored.in_force is False


async def test_the_store_never_sees_the_secret(repository: Repository, store: Store) -> None:
    created = await repository.create_key("demo", "laptop")
    names = await store.execute("KEYS", "*")
    held = list(names)
    for name in names:
        if await store.execute("TYPE", name) == b"hash":
            held += await store.execute("HGETALL", name)
        elif name != b"tg:durable":
            held += await store.execute("ZRANGE", name, 0, -1)
    assert len(held) > 10
    random = created.key.split("_")[2].encode()
    assert not [value for value in held if random in value]


async def test_created_at_is_the_stores_clock(repository: Repository, store: Store) -> None:
    before = int((await store.execute("TIME"))[0])
    created = await repository.create_key("demo", "laptop")
    after = int((await store.execute("TIME"))[0])
    assert created.stored.created_at is not None
    assert before <= created.stored.created_at <= after


async def test_durable_says_whether_the_store_could_tell(
    repository: Repository, store: Store
) -> None:
    assert (await repository.create_key("demo", "laptop")).durable is store.has_waitaof


async def test_of_many_who_ask_for_one_name_one_gets_it(
    config: Config, open_another: Callable[..., Awaitable[Store]]
) -> None:
    repositories = [Repository(config, await open_another()) for _ in range(2)]
    outcomes = await asyncio.gather(
        *(repositories[i % 2].create_key("demo", "laptop") for i in range(10)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(NameTaken) == 9
    assert len((await repositories[0].list_keys(tenant="demo")).items) == 2


async def test_a_name_of_the_file_is_taken(repository: Repository) -> None:
    with pytest.raises(NameTaken, match="configuration file"):
        await repository.create_key("demo", "user_1")


async def test_a_key_needs_a_tenant_and_a_sound_name(repository: Repository) -> None:
    with pytest.raises(ObjectNotFound, match="no tenant nobody"):
        await repository.create_key("nobody", "laptop")
    for name in ("", "a/b", "a b", "a\n", "é", "x" * 65):
        with pytest.raises(InvalidObject):
            await repository.create_key("demo", name)


async def test_a_revoked_key_leaves_nothing_behind(repository: Repository, store: Store) -> None:
    before = set(await store.execute("KEYS", "*"))
    created = await repository.create_key("demo", "laptop")
    assert (await repository.revoke_key(created.stored.key_id)).stored == created.stored
    assert set(await store.execute("KEYS", "*")) - {b"tg:durable"} == before
    with pytest.raises(ObjectNotFound):
        await repository.revoke_key(created.stored.key_id)
    again = await repository.create_key("demo", "laptop")
    assert again.stored.key_id != created.stored.key_id


async def test_what_the_file_says_is_refused_with_its_place(repository: Repository) -> None:
    key_id = (await repository.list_keys()).items[0].key_id
    for change in (
        repository.revoke_key(key_id),
        repository.tenants.put("demo", "free"),
        repository.delete_tenant("demo"),
        repository.plans.put("free", GOLD),
        repository.plans.delete("free"),
    ):
        with pytest.raises(ReadOnlyObject, match=r"gate\.yaml:7") as refusal:
            await change
        assert refusal.value.status == 409
        assert refusal.value.members["origin"] == "file"


async def test_the_id_of_a_file_key_is_the_same_in_every_process(
    repository: Repository,
) -> None:
    assert (await repository.get_key("key_kNsrSR55eCn4")).name == "user_1"


async def test_plans_and_tenants_come_back_as_they_were_put(repository: Repository) -> None:
    plan = (await repository.plans.put("gold", GOLD)).item
    tenant = (await repository.tenants.put("acme", "gold")).item
    assert plan.limits == GOLD
    assert await repository.plans.get("gold") == plan
    assert await repository.tenants.get("acme") == tenant
    assert [(p.name, p.origin) for p in (await repository.plans.page()).items] == [
        ("free", "file"),
        ("gold", "api"),
    ]
    assert [t.name for t in (await repository.tenants.page()).items] == ["acme", "demo"]
    moved = (await repository.tenants.put("acme", "free")).item
    assert (moved.plan, moved.created_at) == ("free", tenant.created_at)


async def test_a_plan_in_use_stays(repository: Repository) -> None:
    await repository.plans.put("gold", GOLD)
    await repository.tenants.put("acme", "gold")
    await repository.tenants.put("acme", "gold")
    with pytest.raises(ObjectInUse):
        await repository.plans.delete("gold")
    await repository.tenants.put("acme", "free")
    await repository.plans.delete("gold")
    with pytest.raises(ObjectNotFound):
        await repository.plans.get("gold")
    with pytest.raises(ObjectNotFound):
        await repository.tenants.put("acme", "gold")


async def test_a_plan_without_tenants_left_can_go(repository: Repository) -> None:
    await repository.plans.put("gold", GOLD)
    await repository.tenants.put("acme", "gold")
    await repository.delete_tenant("acme")
    await repository.plans.delete("gold")


async def test_limits_of_one_name_are_refused(repository: Repository) -> None:
    with pytest.raises(InvalidObject):
        await repository.plans.put("gold", (GOLD[0], GOLD[0]))


async def test_a_deleted_tenant_takes_its_keys_along(repository: Repository, store: Store) -> None:
    await repository.tenants.put("acme", "free")
    await repository.tenants.put("acme2", "free")
    for name in ("a", "b", "c"):
        await repository.create_key("acme", name)
    kept = await repository.create_key("acme2", "a")
    await repository.delete_tenant("acme")
    assert (await repository.list_keys(tenant="acme")).items == ()
    assert (await repository.list_keys(tenant="acme2")).items == (kept.stored,)
    assert len(await store.execute("KEYS", "tg:key:*")) == 1
    with pytest.raises(ObjectNotFound):
        await repository.delete_tenant("acme")


async def test_a_new_tenant_does_not_inherit_the_keys_of_one_that_left_the_file(
    repository: Repository, make_config: Callable[..., Config], store: Store
) -> None:
    await repository.create_key("demo", "laptop")
    later = Repository(make_config(), store)
    with pytest.raises(ObjectInUse, match="earlier tenant"):
        await later.tenants.put("demo", "free")
    await later.delete_tenant("demo")
    assert (await later.tenants.put("demo", "free")).item.origin == "api"


async def test_pages_hold_everything_once_and_in_order(
    repository: Repository, make_config: Callable[..., Config], store: Store
) -> None:
    config = make_config("demo", "d-e", "d.f", "zoo")
    repository = Repository(config, store)
    tenants = ("demo", "d-e", "zoo")
    await asyncio.gather(
        *(repository.create_key(tenant, f"k{n}") for n in range(9) for tenant in tenants)
    )
    for count in (1, 2, 7, 30, 31, 1000):
        seen, after = [], ""
        while True:
            page = await repository.list_keys(after=after, count=count)
            seen += page.items
            if page.next_after is None:
                break
            assert len(page.items) == count
            after = page.next_after
        assert len(seen) == len(set(seen)) == 31
        assert seen == sorted(seen, key=lambda key: f"{key.tenant}/{key.name}")
    assert len((await repository.list_keys(tenant="d-e")).items) == 10
    for count in (0, 1001):
        with pytest.raises(InvalidObject):
            await repository.list_keys(count=count)


async def test_a_stored_key_is_listed_beside_one_of_its_name_in_the_file(
    make_config: Callable[..., Config], store: Store
) -> None:
    before = Repository(make_config(), store)
    await before.tenants.put("demo", "free")
    created = await before.create_key("demo", "user_1")
    after = Repository(make_config("demo"), store)
    assert [key.origin for key in (await after.list_keys(count=2)).items] == ["api", "file"]
    await after.revoke_key(created.stored.key_id)
    assert [key.origin for key in (await after.list_keys(count=2)).items] == ["file"]
