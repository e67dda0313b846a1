"""Whose key has been found before: it is no guess, however often its plan or tenant changes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tidegate.config.schema import Config
from tidegate.http.errors import GatewayError, StoreUnavailable, Unauthorized
from tidegate.identity import Caller, KeyResolver, Repository, Stranger, new_key
from tidegate.identity import resolver as resolver_module
from tidegate.store import Store

Eventually = Callable[..., Any]


@pytest.fixture
async def resolver(config: Config, store: Store, eventually: Eventually) -> KeyResolver:
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    return resolver


def is_stranger(resolver: KeyResolver, key: str) -> bool:
    return isinstance(resolver.recognise(key.encode()), Stranger)


def has_met(resolver: KeyResolver, key: str) -> bool:
    stranger = resolver.recognise(key.encode())
    return isinstance(stranger, Stranger) and resolver.has_met(stranger)


async def kept(resolver: KeyResolver, key: str) -> Caller:
    """Find the key until its copy is kept: what was just changed may be told only now."""
    async with asyncio.timeout(1.0):
        while True:
            caller = await resolver.resolve(key.encode())
            if not is_stranger(resolver, key):
                return caller


async def made(repository: Repository, resolver: KeyResolver, name: str = "laptop") -> str:
    """A key of a tenant and a plan of the store, which the resolver has found."""
    await repository.plans.put("gold", ())
    await repository.tenants.put("acme", "gold")
    key = (await repository.create_key("acme", name)).key
    await kept(resolver, key)
    return key


async def test_a_key_has_been_met_after_each_change_that_leaves_it_good(
    resolver: KeyResolver, repository: Repository, eventually: Eventually
) -> None:
    key = await made(repository, resolver)
    key_id = (await kept(resolver, key)).key_id
    for change in (
        lambda: repository.plans.put("gold", ()),
        lambda: repository.tenants.put("acme", "free"),
        lambda: repository.rename_key(key_id, "tower"),
        lambda: repository.rotate_key(key_id, overlap_s=60),
    ):
        await kept(resolver, key)
        await change()
        await eventually(lambda: is_stranger(resolver, key), 1.0)
        assert has_met(resolver, key)
    await resolver.resolve(key.encode())


@pytest.mark.parametrize("end", ["revoked", "without_tenant"])
async def test_a_key_that_is_found_gone_has_not_been_met(
    resolver: KeyResolver, repository: Repository, eventually: Eventually, end: str
) -> None:
    key = await made(repository, resolver)
    if end == "revoked":
        await repository.revoke_key((await kept(resolver, key)).key_id)
    else:
        await repository.delete_tenant("acme")
    await eventually(lambda: is_stranger(resolver, key), 1.0)
    # One reading tells; what was asked at once shares it.
    asked = [resolver.resolve(key.encode()) for _ in range(5)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unauthorized}
    assert not has_met(resolver, key)


async def test_a_store_that_is_away_makes_nobody_a_stranger(
    config: Config,
    open_another: Any,
    proxy: Any,
    repository: Repository,
    eventually: Eventually,
) -> None:
    store = await open_another(proxy.url)
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    key = await made(repository, resolver)
    await repository.plans.put("gold", ())
    await eventually(lambda: is_stranger(resolver, key), 1.0)
    await proxy.cut()
    with pytest.raises(StoreUnavailable):
        await resolver.resolve(key.encode())
    assert has_met(resolver, key)


async def test_who_was_met_longest_ago_is_forgotten_first(
    resolver: KeyResolver, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "FOUND_MAX", 2)
    keys = [await made(repository, resolver, f"key{number}") for number in range(3)]
    resolver._on_change(None)
    assert [has_met(resolver, key) for key in keys] == [False, True, True]
    await kept(resolver, keys[1])
    await kept(resolver, keys[0])
    resolver._on_change(None)
    assert [has_met(resolver, key) for key in keys] == [True, True, False]


async def test_what_was_never_found_has_not_been_met(resolver: KeyResolver) -> None:
    for key in (new_key(), "short", "x" * 300):
        with pytest.raises(GatewayError):
            await resolver.resolve(key.encode())
        assert not has_met(resolver, key)
