"""Real servers for identity's tests, and a proxy that holds a store's answers or cuts it off."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tidegate.config.schema import Config, Redis
from tidegate.identity import Caller, KeyResolver, Repository, Stranger
from tidegate.store import EmbeddedServer, Store, open_store

OpenStore = Callable[..., Awaitable[Store]]


def known(resolver: KeyResolver, presented: bytes) -> Caller | None:
    found = resolver.recognise(presented)
    return None if isinstance(found, Stranger) else found


class Proxy:
    """Passes bytes to a Unix socket and back; answers wait while `flows` is cleared."""

    def __init__(self, path: Path, server_path: str) -> None:
        self.url = f"unix://{path}"
        self.flows = asyncio.Event()
        self.flows.set()
        self.asked = asyncio.Event()
        """Set whenever bytes went towards the server."""
        self._path, self._server_path = path, server_path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    def hold(self) -> None:
        """From now on no answer comes back."""
        self.flows.clear()
        self.asked.clear()

    async def cut(self) -> None:
        """Close every connection and take no new one."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)  # from Python 3.13 on, close does it
            self._server = None
        self.flows.set()
        for writer in self._writers:
            writer.transport.abort()
        if self._pumps:
            await asyncio.wait(self._pumps)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_path)
        if self._server is None:
            # The proxy was cut while this connection was being made.
            writer.transport.abort()
            server_writer.transport.abort()
            return
        self._writers |= {writer, server_writer}
        for pump in (
            self._pump(reader, server_writer, to_server=True),
            self._pump(server_reader, writer, to_server=False),
        ):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        try:
            while piece := await reader.read(65536):
                if not to_server:
                    await self.flows.wait()
                writer.write(piece)
                if to_server:
                    self.asked.set()
        except OSError:
            return
        finally:
            writer.close()


@pytest.fixture(params=["valkey", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """The embedded Valkey, then Debian's Redis 7.0."""
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_server")
        return url
    return f"unix://{EmbeddedServer(request.getfixturevalue('valkey_dir')).socket_path}"


@pytest.fixture
async def open_another(server_url: str) -> AsyncIterator[OpenStore]:
    """`await open_another(url=…, timeout=…)`: a store of its own on the same, empty server."""
    opened: list[Store] = []

    async def open_one(url: str = server_url, timeout: float = 2.0) -> Store:
        opened.append(await open_store(Redis(url=url, timeout=timeout), Path("unused"), wait_s=20))
        return opened[-1]

    store = await open_one()
    await store.execute("FLUSHALL")
    yield open_one
    for store in opened:
        await store.aclose()


@pytest.fixture
async def store(open_another: OpenStore) -> Store:
    return await open_another()


@pytest.fixture
async def proxy(server_url: str) -> AsyncIterator[Proxy]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        proxy = Proxy(Path(directory) / "proxy.sock", server_url.removeprefix("unix://"))
        await proxy.start()
        yield proxy
        await proxy.cut()


@pytest.fixture
def make_config() -> Callable[..., Config]:
    """`make_config(*tenants)`: each on plan free, with a key user_1 worth `<tenant>_key`."""

    def make(*tenants: str) -> Config:
        limits = [{"name": "steady", "rate": "5/s", "burst": 10}]
        route = {"name": "r"}
        return Config.model_validate(
            {
                "version": 1,
                "plans": {"free": {"limits": limits}},
                "tenants": [
                    {
                        "name": name,
                        "plan": "free",
                        "keys": [{"name": "user_1", "value": f"{name}_key"}],
                    }
                    for name in tenants
                ],
                "services": [
                    {"name": "s", "targets": ["http://127.0.0.1:9000"], "routes": [route]}
                ],
            }
        )

    return make


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    return make_config("demo")


@pytest.fixture
def repository(config: Config, store: Store) -> Repository:
    return Repository(config, store)
