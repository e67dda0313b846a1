"""Fixtures that more than one room needs: the real stores, and waiting without sleeping blindly."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tidegate.config.schema import Redis
from tidegate.store import EmbeddedServer, Store, open_store

STORE_TIMEOUT_S = 5.0
"""Far above the gateway's 50 ms: a busy test machine is not what most tests are about."""

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds; fail after ten seconds."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    return wait


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
