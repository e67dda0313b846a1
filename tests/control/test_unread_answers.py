"""What an answer that is not read makes the admin port hold: no place for long."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from tests.control.served_protocol import SERVED_WITHIN_S, Connect, Impatient, answer, serving


async def answer_as_long_as_asked(
    scope: dict[str, str], receive: object, send: Callable[..., Awaitable[None]]
) -> None:
    """Answer `/N` with a body of N bytes."""
    if scope["type"] == "http":
        count = int(scope["path"][1:])
        length = [(b"content-length", b"%d" % count)]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"x" * count})


def asking_for(count: int) -> bytes:
    return b"GET /%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % count


async def all_places_are_free(connect: Connect) -> bool:
    held = [await connect() for _ in range(Impatient.connections_max)]
    try:
        for reader, writer in held:
            writer.write(asking_for(0))
            assert await answer(reader) == 200
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    return True


@pytest.mark.parametrize("kib", [32, 64, 96, 128, 160, 1024])
async def test_who_reads_nothing_holds_no_place(kib: int) -> None:
    """Some answers wait in the server with less than the 64 KiB of which a transport tells."""
    async with serving(answer_as_long_as_asked, Impatient) as connect:
        for _ in range(Impatient.connections_max):
            _, writer = await connect()
            writer.write(asking_for(kib * 1024))
        async with asyncio.timeout(SERVED_WITHIN_S):
            while not await all_places_are_free(connect):
                pass


async def read_slowly(connect: Connect, count: int) -> int:
    """Ask for `count` bytes, take about 160 KiB a second, and return how many came."""
    reader, writer = await connect()
    writer.write(asking_for(count))
    await reader.readuntil(b"\r\n\r\n")
    read = 0
    with suppress(ConnectionError):
        while part := await reader.read(2**13):
            read += len(part)
            await asyncio.sleep(Impatient.unread_wait_s / 6)  # the pace is what is tested
    return read


async def test_who_reads_slowly_is_answered_whole() -> None:
    class Lenient(Impatient):
        unread_wait_s = 1.0  # less than reading takes, and twenty times a pause of the reader

    async with serving(answer_as_long_as_asked, Lenient) as connect:
        assert await read_slowly(connect, 2**18) == 2**18


async def test_who_reads_more_slowly_than_the_pace_holds_no_place() -> None:
    class Hurried(Impatient):
        unread_rate_min = 2**20

    async with serving(answer_as_long_as_asked, Hurried) as connect:
        assert await read_slowly(connect, 2**20) < 2**20
