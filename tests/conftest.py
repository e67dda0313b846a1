"""What every room's tests share: the package's path for the processes they start, the real stores,
plain clients that count what they lose, and bounded waiting."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import fleet
from tidegate.config.schema import Redis
from tidegate.store import EmbeddedServer, Store, open_store

# Processes that tests start find the package as pytest itself does (`pythonpath` in
# pyproject.toml), installed or not.
_source = str(Path(__file__).parents[1] / "src")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_source, os.environ.get("PYTHONPATH"))))

STORE_TIMEOUT_S = 5.0
"""Far above the gateway's 50 ms: a busy test machine is not what most tests are about."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        return b"connection: close" in self.head


@dataclass
class Load:
    """Clients that never stop asking: some on fresh connections, some on kept ones."""

    port: int
    path: str
    headers: str
    answers: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    stopped: bool = False
    _clients: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> "Load":
        runs = [self._fresh] * 4 + [self._kept] * 4
        self._clients = [asyncio.create_task(run()) for run in runs]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopped = True
        await asyncio.wait(self._clients)

    async def _fresh(self) -> None:
        while not self.stopped:
            await self._count(get(self.port, self.path, headers=self.headers))

    async def _kept(self) -> None:
        while not self.stopped:
            streams = await asyncio.open_connection("127.0.0.1", self.port)
            closes = False
            while not closes and not self.stopped:
                answer = await self._count(ask(streams, self.path, self.headers))
                closes = answer is None or answer.closes
            streams[1].close()

    async def _count(self, asking: Awaitable[Answer]) -> Answer | None:
        try:
            answer = await asking
        except (OSError, EOFError) as error:
            self.failures.append(repr(error))
            return None
        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
        return answer


async def get(port: int, path: str = "/", timeout_s: float = 5.0, headers: str = "") -> Answer:
    """One request on a connection of its own."""
    async with asyncio.timeout(timeout_s):
        streams = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await ask(streams, path, headers)
        finally:
            streams[1].close()


async def ask(streams: Streams, path: str, headers: str = "") -> Answer:
    """One request on an open connection, answered with a Content-Length."""
    reader, writer = streams
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n".encode())
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return Answer(int(head.split(b" ")[1]), head, await reader.readexactly(length))


async def eventually(claim: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Poll until `claim` holds; fail the test if it never does."""
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110 other processes set no event
            await asyncio.sleep(0.02)


@pytest.fixture
def clients() -> SimpleNamespace:
    """`get`, `ask`, `eventually` and `load(port, path, headers)`, for tests of real processes."""

    def load(port: int, path: str = "/", headers: str = "") -> Load:
        return Load(port, path, headers)

    return SimpleNamespace(get=get, ask=ask, eventually=eventually, load=load)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[None]]:
    """`eventually(claim, timeout_s=10)`: polls until the claim holds."""
    return eventually


@pytest.fixture(scope="session")
def valkey_dir() -> Iterator[Path]:
    """The data directory of an embedded Valkey that lives as long as the tests."""
    directory = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    server = EmbeddedServer(directory)
    while not server.try_join():
        time.sleep(0.01)
    yield directory
    server.leave()
    for _ in range(1000):
        if not server.socket_path.exists():
            break
        time.sleep(0.01)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def valkey(valkey_dir: Path) -> AsyncIterator[Store]:
    """An empty store on the embedded Valkey."""
    store = await open_store(Redis(timeout=STORE_TIMEOUT_S), valkey_dir, wait_s=20)
    await store.execute("FLUSHALL")
    yield store
    await store.aclose()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real Redis server, shared by the tests: flush before use."""
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("redis-server is not on PATH")
    directory = Path(tempfile.mkdtemp(prefix="tg-redis-", dir="/tmp"))
    socket_path = directory / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket_path), "--dir", str(directory)]
    options += ["--save", "", "--appendonly", "yes", "--logfile", str(directory / "log")]
    process = subprocess.Popen([binary, *options], env=dict(os.environ, LC_ALL="C"))
    for _ in range(1000):
        if socket_path.exists():
            break
        time.sleep(0.01)
    yield f"unix://{socket_path}"
    process.terminate()
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster_servers() -> Iterator[fleet.Cluster]:
    """Six real servers, three of them primaries. Who breaks something heals it."""
    with fleet.cluster() as servers:
        yield servers


@pytest.fixture
async def cluster(cluster_servers: fleet.Cluster) -> AsyncIterator[Store]:
    """An empty store on a Cluster."""
    cluster_servers.flush()
    url = cluster_servers.url
    store = await open_store(Redis(url=url, timeout=STORE_TIMEOUT_S), Path("/nowhere"), wait_s=20)
    yield store
    await store.aclose()


@pytest.fixture
def sentinel_servers() -> Iterator[fleet.Sentinels]:
    """Three real servers and three Sentinels for one test: they take long to heal."""
    with fleet.sentinels() as servers:
        yield servers


def pytest_configure(config: pytest.Config) -> None:
    """Show tracebacks in Python's own style where pytest's would end the whole run.

    Up to 3.11.7 and 3.12.1 (Debian 12 has 3.11.2) parsing a file fails with a SystemError if a
    collected object has something parsed meanwhile (CPython issue 106905); pytest parses a file for
    each failed or expected to fail test.
    """
    version = sys.version_info
    is_affected = version < (3, 11, 8) or (3, 12) <= version < (3, 12, 2)
    if is_affected and config.option.tbstyle == "auto":
        config.option.tbstyle = "native"
