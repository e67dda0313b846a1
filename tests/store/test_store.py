"""`open_store` and the facade: what is refused, what is waited for, what is known."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.schema import Redis
from tidegate.store import Connection, Store, StoreRefused, StoreUnavailable, open_store
from tidegate.store.address import Address
from tidegate.store.durable import is_durable

Connect = Callable[..., Awaitable[Connection]]
Eventually = Callable[..., Awaitable[None]]


def settings(address: Address) -> Redis:
    return Redis(url=address.redacted, timeout=5.0)


async def test_a_store_that_evicts_is_refused_by_name_of_the_setting(
    address: Address, connect: Connect, tmp_path: Path
) -> None:
    admin = await connect(address)
    await admin.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        for require in (True, False):
            with pytest.raises(StoreRefused, match=r"maxmemory-policy allkeys-lru.*noeviction"):
                await open_store(settings(address), tmp_path, require=require)
    finally:
        await admin.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_a_store_refused_at_a_later_link_comes_back_when_it_is_put_right(
    proxy: Any, valkey_address: Address, connect: Connect, tmp_path: Path, eventually: Eventually
) -> None:
    admin = await connect(valkey_address)
    store = await open_store(settings(proxy.address), tmp_path)
    try:
        await admin.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        proxy.cut()
        await eventually(lambda: not store.is_up)
        with pytest.raises(StoreRefused):
            await store.connection.wait_up(5)
    finally:
        await admin.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await eventually(lambda: store.is_up)
    await store.aclose()


async def test_a_store_that_is_not_there_is_waited_for_and_named(tmp_path: Path) -> None:
    url = f"unix://:sesame@{tmp_path}/nothing.sock"
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(Redis(url=url), tmp_path, wait_s=0.1)
    assert f"unix://***@{tmp_path}/nothing.sock" in caught.value.detail
    assert "sesame" not in caught.value.detail


async def test_without_require_a_gateway_starts_during_an_outage_and_comes_up(
    proxy: Any, tmp_path: Path, eventually: Eventually
) -> None:
    await proxy.refuse()
    store = await open_store(settings(proxy.address), tmp_path, wait_s=0.05, require=False)
    assert not store.is_up
    assert store.facts is None
    assert store.warnings == []
    assert not await store.wait_durable()
    await proxy.open()
    await eventually(lambda: store.is_up)
    assert await store.execute("PING") == b"PONG"
    await store.aclose()


async def test_the_store_tells_what_it_is(address: Address, tmp_path: Path) -> None:
    store = await open_store(settings(address), tmp_path)
    facts = await store.describe()
    assert facts == store.facts
    is_valkey = "tg-redis" not in address.socket_path
    assert facts.product == ("valkey" if is_valkey else "redis")
    assert facts.version.count(".") == 2
    assert facts.is_aof_on
    assert (facts.fsync, facts.maxmemory_policy) == ("everysec", "noeviction")
    assert store.has_waitaof == facts.has_waitaof
    if is_valkey:
        assert facts.has_waitaof
        assert store.warnings == []
    elif not facts.has_waitaof:
        assert "WAITAOF" in store.warnings[0]
    await store.aclose()


async def test_a_store_that_tells_little_is_used_with_a_warning(
    address: Address, connect: Connect, tmp_path: Path
) -> None:
    admin = await connect(address)
    rules = ("on", ">sesame", "~*", "&*", "+@all", "-config", "-info", "-command", "-client")
    await admin.execute("ACL", "SETUSER", "managed", *rules)
    store = await open_store(Redis(url=f"unix://managed:sesame@{address.socket_path}"), tmp_path)
    assert await store.execute("ECHO", 1, timeout_s=5) == b"1"
    assert "does not tell its maxmemory-policy" in store.warnings[0]
    await store.aclose()
    await admin.execute("ACL", "DELUSER", "managed")


async def test_a_confirmed_write_is_on_disk(valkey: Store, valkey_dir: Path) -> None:
    await valkey.execute("SET", "tg:key:durable", "value-of-a-key")
    assert await valkey.wait_durable()
    assert await valkey.execute("GET", "tg:key:durable") == b"value-of-a-key"
    assert b"value-of-a-key" in b"".join(
        file.read_bytes() for file in (valkey_dir / "appendonlydir").iterdir()
    )


async def test_a_confirmation_that_takes_too_long_is_none(valkey: Store) -> None:
    await valkey.execute("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        assert not await valkey.wait_durable(timeout_s=0.05)
    finally:
        await valkey.execute("CLIENT", "UNPAUSE")
    assert await valkey.wait_durable(timeout_s=5)


async def test_a_fence_that_is_refused_confirms_nothing(
    address: Address, connect: Connect, tmp_path: Path
) -> None:
    """What was synced is then no word about what was written: here by a store that is full."""
    admin = await connect(address)
    store = await open_store(settings(address), tmp_path)
    before = (await admin.execute("CONFIG", "GET", "appendfsync"))[1]
    await admin.execute("CONFIG", "SET", "appendfsync", "always")
    try:
        facts = await store.describe()
        assert await is_durable(address, facts, 2.0)
        await admin.execute("CONFIG", "SET", "maxmemory", 1)
        assert not await is_durable(address, facts, 2.0)
    finally:
        await admin.execute("CONFIG", "SET", "maxmemory", 0)
        await admin.execute("CONFIG", "SET", "appendfsync", before)
        await store.aclose()


async def test_a_cancelled_confirmation_closes_its_link(valkey: Store) -> None:
    for _ in range(5):
        waiting = asyncio.create_task(valkey.wait_durable())
        await asyncio.sleep(0.002)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with asyncio.timeout(5):
        while b"tidegate-durable" in await valkey.execute("CLIENT", "LIST"):
            pass


async def test_closing_leaves_no_task_and_is_said_twice_without_harm(
    address: Address, tmp_path: Path
) -> None:
    before = asyncio.all_tasks()
    store = await open_store(settings(address), tmp_path)
    store.tracking.watch(b"tg:", lambda _: None)
    await store.aclose()
    await store.aclose()
    assert asyncio.all_tasks() == before
