"""What the bench counts is what the whole tree of processes used."""

import sys
from pathlib import Path

import pytest

from bench.processes import cpu_us, is_running, peak_memory_kib, pinned, rested, tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BURN_US = 300_000
# A parent that idles while its child burns CPU and holds 64 MiB; each says when it is done.
CHILD = f"""
import time
held = bytearray(b"x" * (64 << 20))
while time.process_time() < {BURN_US / 1e6}: pass
print("done", flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def started(folder: Path) -> bool:
    return "done" in (folder / "tree.log").read_text()


def test_cpu_and_memory_of_children_count(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT]
    with pinned("tree", command, cores={0}, folder=tmp_path, env={}) as process:
        while not started(tmp_path):
            assert process.poll() is None
        members = tree(process.pid)
        used, peak = cpu_us(process.pid), peak_memory_kib(process.pid)
    assert len(members) == 2
    assert BURN_US <= used < BURN_US * 2
    assert peak > 64 << 10
    assert not any(map(is_running, members))


def test_every_child_runs_on_the_core_of_its_gateway(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT]
    with pinned("tree", command, cores={0}, folder=tmp_path, env={}) as process:
        while not started(tmp_path):
            assert process.poll() is None
        for pid in tree(process.pid):
            status = Path(f"/proc/{pid}/status").read_text()
            (allowed,) = (ln for ln in status.splitlines() if ln.startswith("Cpus_allowed_list"))
            assert allowed.split()[1] == "0"


def test_what_a_load_leaves_behind_is_worked_off_before_another_is_measured() -> None:
    used_us = iter((0, 90_000, 180_000, 190_000, 280_000))
    assert rested(lambda: next(used_us), wait_s=0, looks_max=9)
    assert next(used_us) == 280_000


def test_a_gateway_that_never_rests_is_waited_for_no_longer_than_the_bound() -> None:
    used_us = iter(range(0, 1_000_000, 90_000))
    assert not rested(lambda: next(used_us), wait_s=0, looks_max=3)
    assert next(used_us) == 4 * 90_000
