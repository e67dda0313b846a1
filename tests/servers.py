"""A real Redis or Valkey in a process of its own, for tests that break one or join several.

Ended by its pid; its directory and what it wrote go with it.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tidegate.store import embedded
from tidegate.store.guard import PR_SET_PDEATHSIG

READY_S = 30.0
QUIET = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
PINGED = ("--repl-ping-replica-period", "1")
"""A node of a Cluster tells of a replica only once that has received something."""
_TRIES = 50


def server_binary() -> str:
    """Debian's Redis where it is installed (7.0, the oldest that many run), else our Valkey."""
    return shutil.which("redis-server") or valkey_binary()


def valkey_binary() -> str:
    return embedded._server_binary()


class Server:
    """One process; `start` again after it was killed has it come back on the same port."""

    def __init__(self, port: int, directory: Path, command: list[str]) -> None:
        self.port = port
        self.client: Any = redis.Redis(port=port, socket_timeout=5, decode_responses=True)
        self._directory = directory
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def alone(cls, port: int, *options: str, binary: str = "") -> Iterator["Server"]:
        """A server that belongs to no others, started and ended here."""
        with ExitStack() as stack:
            server = make_server(stack, port, *options, binary=binary)
            server.start()
            yield server

    def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        with (self._directory / "out").open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdout=out,
                stderr=out,
                env=dict(os.environ, LC_ALL="C"),
                preexec_fn=_end_with_parent,
            )
        until(self._answers, f"port {self.port} answers")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def revive(self) -> None:
        """Start it again if it was killed, have it go on if it was stopped."""
        self.start()
        self.send(signal.SIGCONT)

    def end(self) -> None:
        self.client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        return bool(self.client.ping())


def _end_with_parent() -> None:
    """Leave no server behind a test run that is killed; only Linux has a word for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def until(claim: Callable[[], bool], what: str) -> None:
    """Poll until `claim` holds; what is not there yet is not news."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with suppress(redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            if claim():
                return
        time.sleep(0.02)
    raise AssertionError(f"not within {READY_S} s: {what}")


def make_server(stack: ExitStack, port: int, *options: str, binary: str = "") -> Server:
    directory = make_directory(stack)
    command = [
        binary or server_binary(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        *QUIET,
        *PINGED,
        *options,
    ]
    server = Server(port, directory, command)
    stack.callback(server.end)
    return server


def make_directory(stack: ExitStack) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="tg-fleet-", dir="/tmp"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def free_ports(count: int, *, cluster_bus: bool = False) -> list[int]:
    """Return ports that nobody listens on; with `cluster_bus`, nor on those 10,000 above."""
    found: list[int] = []
    with ExitStack() as stack:
        for _ in range(_TRIES * count):
            if len(found) == count:
                break
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            if not cluster_bus:
                found.append(port)
                continue
            # Ports given freely are above 32768, where there is no room for the bus.
            port -= 20_000
            try:
                for beside in (port, port + 10_000):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", beside))
            except OSError:
                continue
            found.append(port)
    return found
