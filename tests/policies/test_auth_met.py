"""A key that works goes on working beside wrong ones, whatever becomes of its plan or tenant."""

import asyncio
from collections.abc import Callable

import pytest

from tests.policies.throttled_kit import statuses
from tidegate.identity import Repository, Stranger
from tidegate.testing import Kit


async def until_untold(kit: Kit, key: str) -> None:
    """Wait until the worker has dropped its copy of the key."""
    async with asyncio.timeout(1.0):
        while not isinstance(kit.gateway.parts.resolver.recognise(key.encode()), Stranger):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("changed", ["plan", "tenant", "name"])
async def test_a_change_locks_no_working_key_out(
    kit_listening: Callable, tidegate_store, changed: str
) -> None:
    kit = await kit_listening()
    repository = Repository(kit.gateway.config, tidegate_store)
    for plan in ("gold", "silver"):
        await repository.plans.put(plan, ())
    await repository.tenants.put("shop", "gold")
    created = await repository.create_key("shop", "laptop")
    assert await statuses(kit, 2, key=created.key) == [200] * 2
    assert await statuses(kit, 25) == [401] * 20 + [429] * 5
    if changed == "plan":
        await repository.plans.put("gold", ())
    elif changed == "tenant":
        await repository.tenants.put("shop", "silver")
    else:
        await repository.rename_key(created.stored.key_id, "tower")
    await until_untold(kit, created.key)
    assert await statuses(kit, 2, key=created.key) == [200] * 2


async def test_a_revoked_key_is_as_good_as_a_wrong_one(
    kit_listening: Callable, tidegate_store
) -> None:
    kit = await kit_listening()
    repository = Repository(kit.gateway.config, tidegate_store)
    created = await repository.create_key("acme", "laptop")
    assert await statuses(kit, 2, key=created.key) == [200] * 2
    assert 429 in await statuses(kit, 22)
    await repository.revoke_key(created.stored.key_id)
    await until_untold(kit, created.key)
    # Until the store has been asked nobody knows what became of it.
    assert await statuses(kit, 3, key=created.key) == [401, 429, 429]
