"""Processes pinned to cores, and what they have used: CPU and peak memory from /proc.

A gateway is a tree of processes (a supervisor and its workers, a master and its workers): what
is counted is the whole tree, and children that ended as their parents reaped them. The kernel
scales user + system time from nanoseconds but shows it in ticks of 10 ms: 0.25 % of 4 s.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 10.0
REST_LOOK_S, REST_LOOKS_MAX = 0.1, 50


@contextmanager
def pinned(
    name: str,
    command: Sequence[str],
    *,
    cores: Collection[int],
    folder: Path,
    env: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` running on `cores` alone, its output in `folder`."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **env},
            # Before exec, so that every child of the command inherits it.
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    members = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # What a parent leaves behind must not run on beside the next measurement.
    for signum in (signal.SIGTERM, signal.SIGKILL):
        left = [pid for pid in members if is_running(pid)]
        for pid in left:
            os.kill(pid, signum)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(map(is_running, left)) and time.monotonic() < deadline:
            time.sleep(0.02)


def is_running(pid: int) -> bool:
    state = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"


def tree(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        for listing in Path(f"/proc/{member}/task").glob("*/children"):
            found += [int(child) for child in _read(listing).split()]
    return found


def cpu_us(pid: int) -> int:
    """User and system time of the tree, and of the children it has reaped."""
    return sum(sum(_cpu_ticks(member)) for member in tree(pid)) * TICK_US


def rested(
    used_us: Callable[[], int], *, wait_s: float = REST_LOOK_S, looks_max: int = REST_LOOKS_MAX
) -> bool:
    """Wait until hardly anything is used: what a load left unanswered belongs to no round."""
    before = used_us()
    for _ in range(looks_max):
        time.sleep(wait_s)
        now = used_us()
        if now - before <= TICK_US:
            return True
        before = now
    return False


def busiest(pid: int) -> int:
    """The member of the tree that has used most by itself."""
    return max(tree(pid), key=lambda member: sum(_cpu_ticks(member)[:2]))


def _cpu_ticks(pid: int) -> list[int]:
    """Its own user and system time, then those of its reaped children."""
    # The name may hold blanks and brackets: the numbers begin after the last one.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return [int(field) for field in fields[11:15]]


def peak_memory_kib(pid: int) -> int:
    """The highest resident size of each member, added up (pages shared by two count twice)."""
    total = 0
    for member in tree(pid):
        for line in _read(Path(f"/proc/{member}/status")).splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1])
    return total


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return ""
