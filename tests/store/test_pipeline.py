"""One link: what another has sent on to it, and how long its trips take."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.store import Connection, StoreUnavailable
from tidegate.store.redirects import Routed
from tidegate.store.scripts import pack

Connect = Callable[..., Awaitable[Connection]]


async def test_what_is_sent_on_keeps_its_waiter_and_its_deadline(
    proxy: Any, connect: Connect
) -> None:
    connection = await connect(proxy.address, timeout_s=60)
    loop = asyncio.get_running_loop()
    command = pack((b"ECHO", b"1"))
    answered, late = loop.create_future(), loop.create_future()
    connection.forward(answered, loop.time() + 5, Routed(command, 0), is_asking=False)
    assert await answered == b"1"
    proxy.freeze()
    connection.forward(late, loop.time() + 0.05, Routed(command, 0), is_asking=False)
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match="in time"):
            await late


async def test_trips_are_told_of_each_link(valkey_address: Any, connect: Connect) -> None:
    connection = await connect(valkey_address)
    told: list[float] = []
    connection.watch_trips(told.append)
    await connection.execute("PING")
    assert len(told) == 1
    connection.reconnect("again")
    await connection.wait_up(10)
    await connection.execute("PING")
    assert len(told) == 2
