"""Invalidations as the server tells them, and what copies are worth when it does not."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tidegate.store import Connection, Tracking
from tidegate.store.address import Address
from tidegate.store.subscription import SILENCE_MAX_S

Connect = Callable[..., Awaitable[Connection]]
Eventually = Callable[..., Awaitable[None]]
Told = list[bytes | None]


@pytest.fixture
async def track() -> AsyncIterator[Callable[[Address], Tracking]]:
    made: list[Tracking] = []

    def make(address: Address) -> Tracking:
        made.append(Tracking(address))
        return made[-1]

    yield make
    for tracking in made:
        await tracking.aclose()


async def test_each_watcher_is_told_the_keys_under_its_prefix(
    address: Address, connect: Connect, track: Any, eventually: Eventually
) -> None:
    connection, tracking = await connect(address), track(address)
    keys: Told = []
    all_of_it: Told = []
    tracking.watch(b"tg:key:", keys.append)
    tracking.watch(b"tg:", all_of_it.append)
    tracking.watch(b"tg:plan:", lambda _: None)
    await eventually(lambda: tracking.is_live)
    keys.clear()
    all_of_it.clear()
    await connection.execute("MSET", "tg:key:a", 1, "tg:plan:b", 1, "other", 1)
    await connection.execute("SET", "tg:key:c", 1, "PX", 1)
    await eventually(lambda: keys.count(b"tg:key:c") >= 1 and b"tg:plan:b" in all_of_it)
    assert b"tg:key:a" in keys
    assert b"tg:plan:b" not in keys
    assert b"other" not in all_of_it
    assert tracking.is_live


async def test_a_prefix_watched_later_is_subscribed_and_unverified_until_then(
    address: Address, connect: Connect, track: Any, eventually: Eventually
) -> None:
    connection, tracking = await connect(address), track(address)
    first: Told = []
    second: Told = []
    tracking.watch(b"tg:key:", first.append)
    await eventually(lambda: tracking.is_live)
    end = tracking.watch(b"tg:plan:", second.append)
    assert not tracking.is_live
    await eventually(lambda: tracking.is_live)
    await connection.execute("MSET", "tg:key:a", 1, "tg:plan:b", 1)
    await eventually(lambda: b"tg:plan:b" in second and b"tg:key:a" in first)
    end()
    second.clear()
    await connection.execute("MSET", "tg:plan:c", 1, "tg:key:c", 1)
    await eventually(lambda: b"tg:key:c" in first)
    assert second == []


async def test_flushing_the_store_leaves_nothing_verified(
    address: Address, connect: Connect, track: Any, eventually: Eventually
) -> None:
    connection, tracking = await connect(address), track(address)
    told: Told = []
    tracking.watch(b"tg:", told.append)
    await eventually(lambda: tracking.is_live)
    told.clear()
    await connection.execute("FLUSHALL")
    await eventually(lambda: None in told)
    await eventually(lambda: tracking.is_live)


async def test_silence_makes_copies_unverified_within_half_a_second(
    proxy: Any, track: Any, eventually: Eventually
) -> None:
    tracking = track(proxy.address)
    told: Told = []
    tracking.watch(b"tg:", told.append)
    await eventually(lambda: tracking.is_live)
    told.clear()
    proxy.freeze()
    frozen_at = time.monotonic()
    assert tracking.verified_until < frozen_at + SILENCE_MAX_S
    await eventually(lambda: not tracking.is_live)
    assert tracking.verified_until < frozen_at + SILENCE_MAX_S
    await eventually(lambda: told == [None])
    proxy.thaw()
    await eventually(lambda: tracking.is_live)


async def test_a_change_during_an_outage_is_told_as_doubt_about_everything(
    proxy: Any, connect: Connect, valkey_address: Address, track: Any, eventually: Eventually
) -> None:
    connection, tracking = await connect(valkey_address), track(proxy.address)
    told: Told = []
    tracking.watch(b"tg:", told.append)
    await eventually(lambda: tracking.is_live)
    told.clear()
    await proxy.refuse()
    await eventually(lambda: not tracking.is_live)
    assert told[0] is None
    await connection.execute("SET", "tg:key:a", 1)
    told.clear()
    await proxy.open()
    await eventually(lambda: tracking.is_live)
    assert told[-1] is None


async def test_a_process_that_was_held_wakes_up_with_its_copies_unverified(
    address: Address, track: Any, eventually: Eventually
) -> None:
    tracking = track(address)
    tracking.watch(b"tg:", lambda _: None)
    await eventually(lambda: tracking.is_live)
    time.sleep(0.55)  # noqa: ASYNC251 (a process that is stopped is the case)
    assert not tracking.is_live
    await eventually(lambda: tracking.is_live)


async def test_a_proof_overtaken_by_a_doubt_proves_nothing(
    scripted: Any, track: Any, eventually: Eventually
) -> None:
    pings = 0
    live_after: list[bool] = []

    def answer(data: bytes) -> bytes:
        nonlocal pings
        if b"TRACKING" in data:
            return b"+OK\r\n"
        pings += 1
        flushed = b">2\r\n$10\r\ninvalidate\r\n_\r\n"
        return b"+PONG\r\n" + (flushed if pings == 1 else b"")

    tracking = track(await scripted(answer))
    tracking.watch(b"tg:", lambda _: live_after.append(tracking.is_live))
    await eventually(lambda: pings == 1 and len(live_after) >= 1)
    await asyncio.sleep(0.02)
    assert not tracking.is_live
    await eventually(lambda: pings >= 2 and tracking.is_live)


async def test_a_store_that_forbids_tracking_leaves_copies_unverified(
    scripted: Any, track: Any, eventually: Eventually
) -> None:
    asked: list[bytes] = []

    def answer(data: bytes) -> bytes:
        asked.append(data)
        return b"-NOPERM no\r\n"

    tracking = track(await scripted(answer))
    tracking.watch(b"tg:", lambda _: None)
    await eventually(lambda: len(asked) >= 3)
    assert not tracking.is_live


async def test_closing_at_any_moment_leaves_no_task(proxy: Any) -> None:
    before = asyncio.all_tasks()
    for pause_s in (None, 0.0, 0.003, 0.05):
        tracking = Tracking(proxy.address)
        tracking.watch(b"tg:", lambda _: None)
        if pause_s is not None:
            await asyncio.sleep(pause_s)
        await tracking.aclose()
    assert asyncio.all_tasks() - before - proxy._tasks == set()
