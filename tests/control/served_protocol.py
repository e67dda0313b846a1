"""An application behind uvicorn with the bounded protocol, on a socket of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn

from tidegate.control import BoundedProtocol

SERVED_WITHIN_S: Final = 10.0
FEW_BYTES: Final = 8 * 1024
"""Of each socket's buffers, so that an answer that nobody reads soon waits in the server."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Stream]]


class Impatient(BoundedProtocol):
    head_wait_s = 0.3
    unread_wait_s = 0.3
    connections_max = 4


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: object, protocol: type[BoundedProtocol]) -> AsyncIterator[Connect]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FEW_BYTES)
    server = _Server(uvicorn.Config(app, http=protocol, log_config=None, lifespan="on"))  # type: ignore[arg-type]
    running = asyncio.create_task(server.serve([listener]))
    while not server.started and not running.done():  # noqa: ASYNC110 uvicorn sets no event
        await asyncio.sleep(0.01)
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Stream:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW_BYTES)
        sock.connect(listener.getsockname())
        stream = await asyncio.open_connection(sock=sock, limit=FEW_BYTES)
        opened.append(stream[1])
        return stream

    try:
        async with asyncio.timeout(SERVED_WITHIN_S):
            yield connect
    finally:
        for writer in opened:
            writer.close()
        server.should_exit = True
        await running


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one answer whole and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(
        (line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0"
    )
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])


async def ended(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
