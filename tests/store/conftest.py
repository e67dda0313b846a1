"""Both real stores by address, and a proxy with real sockets that freezes, delays, cuts and
refuses."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.servers import free_ports
from tidegate.store import Connection
from tidegate.store.address import Address, Place, unix_address

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    directory = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The transports of both loops differ in when they read, pause and let go."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop,
        "uvloop": uvloop.new_event_loop,
    }
    if item.path.name == "test_connection.py":
        return factories
    name = "uvloop" if item.path.name == "test_tracking.py" else "asyncio"
    return {name: factories[name]}


@pytest.fixture(params=["valkey", "redis"])
def address(request: pytest.FixtureRequest) -> Address:
    if request.param == "redis":
        return Address.parse(request.getfixturevalue("redis_server"))
    return unix_address(request.getfixturevalue("valkey_dir") / "valkey.sock")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on, nor on the one 10,000 above, where a node has its bus."""
    return free_ports(1, cluster_bus=True)[0]


@pytest.fixture
def valkey_address(valkey_dir: Path) -> Address:
    return unix_address(valkey_dir / "valkey.sock")


Connect = Callable[..., Awaitable[Connection]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`connect(address, **options)`: a connection that is up, closed after the test."""
    made: list[Connection] = []

    async def make(address: Address, *, timeout_s: float = 5.0, **options: Any) -> Connection:
        connection = Connection(address, timeout_s=timeout_s, **options)
        made.append(connection)
        connection.start()
        await connection.wait_up(20)
        return connection

    yield make
    for connection in made:
        await connection.aclose()


class Proxy:
    """Stands before a store on a Unix socket of its own."""

    def __init__(self, address: Address, behind: Address) -> None:
        self.address = address
        self.delay_s = 0.0
        """How late it passes on what either side says."""
        self._path = Path(address.socket_path)
        self._behind = behind
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.address.socket_path)

    async def refuse(self) -> None:
        """Take no new connections, and cut those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        self.cut()

    def freeze(self) -> None:
        """Pass nothing on; connections stay."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def aclose(self) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        there_reader, there = await asyncio.open_unix_connection(self._behind.socket_path)
        self._writers.append(there)
        for source, sink in ((reader, there), (there_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()


@pytest.fixture
async def proxy(valkey_address: Address, short_dir: Path) -> AsyncIterator[Proxy]:
    made = Proxy(unix_address(short_dir / "proxy.sock"), valkey_address)
    await made.open()
    yield made
    await made.aclose()


Serve = Callable[[Callable[[bytes], bytes]], Awaitable[Address]]


@pytest.fixture
async def scripted(short_dir: Path) -> AsyncIterator[Serve]:
    """`scripted(answer)`: a server that greets as a store does, then says what `answer` says to
    each segment it reads; empty: it hangs up.
    """
    servers: list[asyncio.Server] = []

    async def serve(answer: Callable[[bytes], bytes]) -> Address:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(2**20):
                    greets = b"SETNAME" in data
                    reply = b"+OK\r\n" * data.count(b"*") if greets else answer(data)
                    if not reply:
                        break
                    writer.write(reply)
            finally:
                writer.transport.abort()

        path = short_dir / f"{len(servers)}.sock"
        servers.append(await asyncio.start_unix_server(talk, path))
        return unix_address(path)

    yield serve
    for server in servers:
        server.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[[Talk], Awaitable[Place]]


@pytest.fixture
async def listening() -> AsyncIterator[Listen]:
    """`listening(talk)`: the place of a server that says what `talk` says."""
    servers: list[asyncio.Server] = []

    async def listen(talk: Talk) -> Place:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except OSError:
                pass
            finally:
                writer.transport.abort()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return Place(*servers[-1].sockets[0].getsockname()[:2])

    yield listen
    for server in servers:
        server.close()
