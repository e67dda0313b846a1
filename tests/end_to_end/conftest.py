"""Gateways as real processes: `tidegate serve` over a real store and `tidegate echo`."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TIDEGATE = (sys.executable, "-P", "-m", "tidegate")
READY_S_MAX = 30

CONFIG = """\
version: 1
listen: {host: 127.0.0.1, port: 0}
plans:
  free: {rate: 5/s, burst: 10}
  premium: {rate: 100000/s, burst: 100000}
  exact: {rate: 1/h, burst: 100}
tenants:
  - {name: demo, plan: free, keys: [{name: user_1, value: user_1}]}
  - {name: acme, plan: premium, keys: [{name: premium_user, value: premium_user}]}
  - {name: strict, plan: exact, keys: [{name: exact_user, value: exact_user}]}
services:
  - name: test
    targets: ["${UPSTREAM}"]
    routes:
      - {name: test, paths: [/api/v1]}
      - {name: open, paths: [/open], auth: none}
"""
PREMIUM = "X-API-Key: premium_user\r\n"


@dataclass
class RunningGateway:
    """One `tidegate serve`. `get(path, headers)` asks it on a new connection."""

    process: subprocess.Popen[bytes]
    config: Path
    data_dir: Path
    log: Path
    environ: dict[str, str]
    clients: Any
    port: int = 0
    admin_url: str = ""

    async def get(self, path: str, headers: str = "", timeout_s: float = 10.0) -> Any:
        return await self.clients.get(self.port, path, timeout_s, headers)

    def load(self, path: str = "/api/v1/test", headers: str = PREMIUM) -> Any:
        return self.clients.load(self.port, path, headers)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, 40)

    def workers(self) -> set[int]:
        """Pids of the workers that are alive."""
        return self._children(b"tidegate.worker")

    def control(self) -> set[int]:
        """The pid of the control process, if it is alive."""
        return self._children(b"tidegate.control_process")

    def _children(self, module: bytes) -> set[int]:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {int(child) for child in children if module in command_line(int(child))}

    @property
    def admin_port(self) -> int:
        return int(self.admin_url.rpartition(":")[2])

    def stores(self) -> set[int]:
        """Pids of the store's processes: whoever has our data directory among its arguments."""
        mark = os.fsencode(self.data_dir)
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    if mark in (entry / "cmdline").read_bytes():
                        found.add(int(entry.name))
                except OSError:
                    continue
        return found

    def said(self) -> str:
        return self.log.read_text()

    async def command(self, *arguments: str) -> Any:
        """Run a command on the same configuration and store; return its JSON."""
        process = await asyncio.create_subprocess_exec(
            *TIDEGATE, *arguments, "--json",
            "--config", str(self.config), "--data-dir", str(self.data_dir),
            env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return json.loads(out)


def command_line(pid: int) -> bytes:
    """The arguments of a process, joined by NUL; none of one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def started(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for the line of JSON that says that the program serves."""
    assert process.stdout is not None
    line = process.stdout.readline()
    return json.loads(line) if line else {}


def ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def config_text() -> str:
    """What `running_gateway` runs on, for tests that change it."""
    return CONFIG


@pytest.fixture(scope="session")
def echo_url() -> Iterator[str]:
    """The URL of a `tidegate echo`."""
    process = subprocess.Popen([*TIDEGATE, "echo", "--port", "0", "--json"], stdout=subprocess.PIPE)
    yield started(process)["url"]
    ended(process)


@pytest.fixture
def free_port() -> int:
    """For servers that cannot say which port they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def short_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tg-e2e-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def running_gateway(
    short_dir: Path, echo_url: str, clients: Any
) -> Iterator[Callable[..., RunningGateway]]:
    """`running_gateway(workers=2, port=0, redis=None, upstream=None)`: each one ends here.

    All of one test share a data directory, so that a second one continues the first; those that
    run at once share the configuration too.
    """
    running: list[RunningGateway] = []

    def run(
        *,
        workers: int = 2,
        port: int = 0,
        config: str = CONFIG,
        redis: str | None = None,
        expect_ready: bool = True,
        options: tuple[str, ...] = (),
        **variables: str,
    ) -> RunningGateway:
        number = len(running)
        path = short_dir / f"tidegate-{zlib.crc32(config.encode())}.yaml"
        path.write_text(config)
        environ = os.environ | {"UPSTREAM": echo_url} | variables
        environ.pop("REDIS_URL", None)
        if redis is not None:
            environ["REDIS_URL"] = redis
        log, data_dir = short_dir / f"log-{number}.txt", short_dir / "data"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*TIDEGATE, "serve", "--json", "--config", str(path), "--workers", str(workers),
                 "--port", str(port), "--data-dir", str(data_dir), *options],
                stdout=subprocess.PIPE, stderr=stderr, env=environ, cwd=short_dir,
            )  # fmt: skip
        gateway = RunningGateway(process, path, data_dir, log, environ, clients)
        running.append(gateway)
        if expect_ready:
            told = started(process)
            assert told, gateway.said()
            gateway.port = told["port"]
            gateway.admin_url = told["admin_url"] or ""
        return gateway

    yield run
    for gateway in running:
        ended(gateway.process)


@pytest.fixture(params=["embedded", "redis"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """None for the embedded Valkey, or the URL of a real Redis: the main claims hold on both."""
    if request.param == "embedded":
        return None
    url: str = request.getfixturevalue("redis_server")
    subprocess.run(["redis-cli", "-s", url.removeprefix("unix://"), "FLUSHALL"], check=True,
                   capture_output=True)  # fmt: skip
    return url
