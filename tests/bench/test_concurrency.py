"""The service counts what it has in hand, however its callers come and go."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bench import concurrency
from bench.concurrency import Found, Service, table


async def test_what_is_in_hand_at_once_is_counted(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Awaitable[None]]
) -> None:
    monkeypatch.setattr(concurrency, "TAKES_S", 0.05)
    service = Service()
    async with await asyncio.start_server(service, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            answer = await reader.readuntil(b"ok")
            writer.close()
            await writer.wait_closed()
            return answer

        await asyncio.gather(ask(), ask(), ask())
        assert await ask() == concurrency.ANSWER
        # The service has seen all of them go.
        await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert (service.in_hand, service.most) == (0, 3)
    assert 0 < service.mean() < 3


def test_the_table_tells_the_most_beside_the_limit() -> None:
    shown = table([Found(10, 186, 60, 10, 9.24)])
    assert shown.splitlines()[-1] == "| 10 at a time | 186 | 60 | 10 | 9.2 |"
