"""The doors under test, on real sockets, and a client that speaks raw bytes."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import uvicorn
import uvloop

from tidegate.config.schema import Config
from tidegate.edge import AsgiDoor, NativeServer
from tidegate.http import GatewayError, Request, Response

WAIT_S = 5.0

Handle = Callable[[Request[Any]], Awaitable[Response]]


def pytest_asyncio_loop_factories(config, item):
    """The doors are made for uvloop; tests of connections run on asyncio's own loop as well."""
    factories = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_connections.py":
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@dataclass
class Answer:
    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)
    """1xx that came before."""

    def get_all(self, name: bytes) -> list[bytes]:
        return [value for field_name, value in self.fields if field_name == name]


class Reader(asyncio.StreamReader):
    """A StreamReader that says when the end has arrived, read or not, and how.

    What came before a reset can still be read, as from a socket.
    """

    has_ended = False
    was_reset = False

    def feed_eof(self) -> None:
        self.has_ended = True
        super().feed_eof()

    def set_exception(self, exc: BaseException) -> None:
        self.was_reset = True
        self.feed_eof()


class Client:
    """One connection. Reads are bounded in time."""

    def __init__(self, reader: Reader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.wait_s = WAIT_S

    @classmethod
    async def connect(cls, port: int) -> Self:
        loop = asyncio.get_running_loop()
        reader = Reader(limit=2**20, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", port)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def send(self, octets: bytes, piece_bytes: int = 0, *, heeds_end: bool = False) -> None:
        """Send whole, or in pieces of which the server reads each by itself.

        With `heeds_end`, nothing more is sent once the server has closed its side.
        """
        step = piece_bytes or len(octets) or 1
        try:
            for position in range(0, len(octets), step):
                if heeds_end and self.reader.has_ended:
                    return
                self.writer.write(octets[position : position + step])
                await self.writer.drain()
                if piece_bytes:
                    for _ in range(4):
                        await asyncio.sleep(0)
        except (ConnectionError, RuntimeError):
            pass  # refused and closed before it was all sent; the answer may be there already

    async def answer(self, *, is_head: bool = False) -> Answer:
        """Return the next final answer; fail if it is not complete."""
        async with asyncio.timeout(self.wait_s):
            interim = []
            while True:
                head = await self.reader.readuntil(b"\r\n\r\n")
                line, *lines = head[:-4].split(b"\r\n")
                status = int(line.split(b" ")[1])
                if status >= 200:
                    break
                interim.append(status)
            pairs = [text.partition(b":")[::2] for text in lines]
            answer = Answer(status, [(n.lower(), v.strip()) for n, v in pairs], interim=interim)
            if not (is_head or status in (204, 304)):
                answer.body = await self._body(answer)
            return answer

    async def rest(self) -> bytes:
        """Return what comes until the server closes, in whatever way."""
        async with asyncio.timeout(self.wait_s):
            return await self.reader.read()

    async def _body(self, answer: Answer) -> bytes:
        if answer.get_all(b"transfer-encoding"):
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            return body
        if lengths := answer.get_all(b"content-length"):
            return await self.reader.readexactly(int(lengths[0]))
        return await self.reader.read()

    def close(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        """Close with RST, which the server notices at once."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class Handler:
    """Stands where the gateway does. `handle` is the test's; bounds come from the configuration."""

    def __init__(self, handle: Handle, bounds: dict[str, Any]) -> None:
        self.handle = handle
        self.config = config_with(bounds)
        self.body_bytes_max = self.config.listen.bounds.body_bytes
        self.refusals: list[tuple[int, bool]] = []
        """Statuses of what the door refused by itself, and whether that was cut unanswered."""

    def refused(self, error: GatewayError, *, is_cut: bool = False) -> None:
        self.refusals.append((error.status, is_cut))


def config_with(bounds: dict[str, Any], target: str = "http://127.0.0.1:9") -> Config:
    """One route that takes every path without a key."""
    route = {"name": "all", "auth": ()}
    service = {"name": "test", "targets": [target], "routes": [route]}
    return Config.model_validate(
        {"version": 1, "listen": {"bounds": bounds}, "services": [service]}
    )


def bound_socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@asynccontextmanager
async def native_door(pipeline: Any) -> AsyncIterator[NativeServer]:
    server = NativeServer(pipeline)
    await server.start(bound_socket())
    try:
        yield server
    finally:
        await server.drain(0)


@asynccontextmanager
async def uvicorn_with(app: Any, parser: str, lifespan: str = "off") -> AsyncIterator[int]:
    """Serve `app` in this loop; yields the port."""
    sock = bound_socket()
    config = uvicorn.Config(
        app, http=parser, lifespan=lifespan, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    # `serve` is this and signal handlers, which belong to pytest here.
    serving = asyncio.create_task(server._serve([sock]))
    async with asyncio.timeout(WAIT_S):
        while not server.started and not serving.done():  # noqa: ASYNC110 it sets no event
            await asyncio.sleep(0.01)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
def handler() -> type[Handler]:
    """For tests that start a door on a loop of their own."""
    return Handler


@pytest.fixture
async def native():
    """`server = await native(handle, **bounds)`: a native door before a handler of the test's."""
    async with AsyncExitStack() as started:

        async def start(handle: Handle, **bounds: Any) -> NativeServer:
            return await started.enter_async_context(native_door(Handler(handle, bounds)))

        yield start


@pytest.fixture(params=["httptools", "h11"])
async def asgi(request):
    """`port = await asgi(handle, **bounds)`: uvicorn with an ASGI door, on both of its parsers."""
    async with AsyncExitStack() as started:

        async def start(handle: Handle, **bounds: Any) -> int:
            app = AsgiDoor(Handler(handle, bounds))
            return await started.enter_async_context(uvicorn_with(app, request.param))

        yield start


@pytest.fixture
async def connect():
    """`client = await connect(port)`: closed when the test ends."""
    opened: list[Client] = []

    async def open_one(port: int) -> Client:
        opened.append(await Client.connect(port))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def door_log(caplog):
    """What the edge logged. Fails the test if there is an error nobody looked for."""
    caplog.set_level(logging.INFO, logger="tidegate.edge")
    return caplog
