"""Supervisors as real processes over tiny workers."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOST = Path(__file__).with_name("host.py")
QUICK = {"ready_s": 10.0, "drain_s": 5.0, "drain_grace_s": 1.0, "lived_s": 0.3}


@dataclass
class RunningSupervisor:
    process: subprocess.Popen[bytes]
    snapshot: Path
    port: int
    log: Path
    clients: Any
    companion_port: int = 0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        try:
            return await asyncio.to_thread(self.process.wait, 20)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it has not ended; its children are {self.workers()}:\n{self.said()}")

    def workers(self) -> set[int]:
        """Pids of the children that are alive."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    async def who(self, path: str = "/", timeout_s: float = 5.0) -> dict[str, Any]:
        """Pid and tag of the worker that answers a new connection."""
        answer: dict[str, Any] = json.loads(
            (await self.clients.get(self.port, path, timeout_s)).body
        )
        return answer

    async def pids_that_answer(self, requests: int = 40) -> set[int]:
        return {(await self.who())["pid"] for _ in range(requests)}

    async def tags_that_answer(self, requests: int = 40) -> set[str | None]:
        return {(await self.who())["tag"] for _ in range(requests)}

    def said(self) -> str:
        return self.log.read_text()


Run = Callable[..., RunningSupervisor]


@pytest.fixture
def run_supervisor(tmp_path: Path, clients: Any) -> Iterator[Run]:
    """Start supervisors with `run_supervisor(workers=, bounds=, **orders)`; all end here."""
    running: list[RunningSupervisor] = []

    def run(
        *,
        workers: int = 2,
        port: int = 0,
        bounds: dict[str, float] | None = None,
        expect_ready: bool = True,
        controlling_terminal: int | None = None,
        **orders: Any,
    ) -> RunningSupervisor:
        snapshot = tmp_path / f"snapshot-{len(running)}.json"
        snapshot.write_text(json.dumps(orders))
        log = tmp_path / f"log-{len(running)}.txt"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    sys.executable,
                    str(HOST),
                    str(port),
                    str(workers),
                    str(snapshot),
                    json.dumps(QUICK | (bounds or {})),
                ],
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=lambda: _take(controlling_terminal),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        supervisor = RunningSupervisor(process, snapshot, port, log, clients)
        running.append(supervisor)
        if expect_ready:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(b"ready "), supervisor.said()
            supervisor.port, *others = (int(port) for port in line.split()[1:])
            supervisor.companion_port = next(iter(others), 0)
        return supervisor

    yield run
    for supervisor in running:
        process = supervisor.process
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _take(terminal: int | None) -> None:
    if terminal is not None:
        # Tests that are run under nohup ignore it, and what they start would too.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
