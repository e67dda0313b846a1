"""One server on a data directory, whoever dies: kill -9 of each process and of all."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.schema import Redis
from tidegate.store import EmbeddedServer, Store, StoreRefused, StoreUnavailable, open_store
from tidegate.store.guard import LOG_BYTES_MAX, keep_bounded

Eventually = Callable[..., Awaitable[None]]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PDEATHSIG")
GATEWAY = """
import asyncio, json, sys
from pathlib import Path
from tidegate.config.schema import Redis
from tidegate.store import open_store

async def main():
    store = await open_store(Redis(timeout=5), Path(sys.argv[1]), wait_s=20)
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        reply = await store.execute(*json.loads(line))
        print(json.dumps(reply.decode()), flush=True)
    await store.aclose()

asyncio.run(main())
"""


class Gateway:
    """A process that uses the store and does as it is told, as far as the store goes."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", GATEWAY, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    async def ask(self, *command: str) -> Any:
        assert self.process.stdin is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)
        return await asyncio.to_thread(self.hear)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def directory(short_dir: Path) -> Iterator[Path]:
    yield short_dir / "data"
    for pid in pids(short_dir / "data"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def gateway(directory: Path) -> AsyncIterator[Gateway]:
    made = Gateway(directory)
    assert await asyncio.to_thread(made.hear) == "ready"
    yield made
    made.kill()


async def open_here(directory: Path) -> Store:
    return await open_store(Redis(timeout=5), directory, wait_s=20)


def lock_pid(directory: Path, name: str) -> int:
    return int((directory / name).read_text() or "0")


def pids(directory: Path) -> list[int]:
    """All servers and guards of this directory that run, however they came to be."""
    place = f"{directory}/valkey.sock"
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True)
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if place in line]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            # A process may end while it is looked at; one that waits to be reaped has no arguments.
            with contextlib.suppress(OSError):
                if place.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


async def test_processes_share_one_store_and_the_last_one_ends_it(
    directory: Path, gateway: Gateway, eventually: Eventually
) -> None:
    assert await gateway.ask("SET", "a", "from-afar") == "OK"
    store = await open_here(directory)
    assert await store.execute("GET", "a") == b"from-afar"
    guard, server = lock_pid(directory, "guard.lock"), lock_pid(directory, "server.lock")
    gateway.kill()
    assert await store.execute("SET", "b", "kept") == b"OK"
    assert sorted(pids(directory)) == sorted([guard, server])
    await store.aclose()
    await eventually(lambda: not pids(directory))
    again = await open_here(directory)
    assert await again.execute("MGET", "a", "b") == [b"from-afar", b"kept"]
    await again.aclose()
    await eventually(lambda: not pids(directory))


async def test_a_killed_server_is_started_again_with_its_data(
    directory: Path, eventually: Eventually
) -> None:
    store = await open_here(directory)
    await store.execute("SET", "a", 1)
    guard, server = lock_pid(directory, "guard.lock"), lock_pid(directory, "server.lock")
    os.kill(server, signal.SIGKILL)
    await eventually(lambda: not store.is_up)
    with pytest.raises(StoreUnavailable):
        await store.execute("GET", "a")
    await store.connection.wait_up(10)
    assert await store.execute("GET", "a") == b"1"
    assert lock_pid(directory, "guard.lock") == guard
    assert len(pids(directory)) == 2
    await store.aclose()
    await eventually(lambda: not pids(directory))


@ON_LINUX
async def test_a_killed_guard_takes_its_server_along_and_both_are_replaced(
    directory: Path, eventually: Eventually
) -> None:
    store = await open_here(directory)
    await store.execute("SET", "a", 1)
    guard, server = lock_pid(directory, "guard.lock"), lock_pid(directory, "server.lock")
    os.kill(guard, signal.SIGKILL)
    await eventually(lambda: server not in pids(directory))
    await eventually(lambda: store.is_up and lock_pid(directory, "server.lock") != server)
    assert await store.execute("GET", "a") == b"1"
    now = [lock_pid(directory, "guard.lock"), lock_pid(directory, "server.lock")]
    assert sorted(pids(directory)) == sorted(now)
    await store.aclose()
    await eventually(lambda: not pids(directory))


async def test_a_killed_gateway_leaves_nothing_behind(
    directory: Path, gateway: Gateway, eventually: Eventually
) -> None:
    assert len(pids(directory)) == 2
    gateway.kill()
    await eventually(lambda: not pids(directory))


@ON_LINUX
@pytest.mark.parametrize("spared", ["none", "server", "guard"])
async def test_when_all_are_killed_at_once_nothing_stays_and_nothing_is_lost(
    directory: Path, gateway: Gateway, eventually: Eventually, spared: str
) -> None:
    await gateway.ask("SET", "a", "kept")
    victims = {
        "guard": lock_pid(directory, "guard.lock"),
        "server": lock_pid(directory, "server.lock"),
    }
    for pid in [gateway.pid, *(pid for name, pid in victims.items() if name != spared)]:
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not pids(directory))
    store = await open_here(directory)
    assert await store.execute("GET", "a") == b"kept"
    await store.aclose()
    await eventually(lambda: not pids(directory))


def start_without_guard(share: EmbeddedServer) -> subprocess.Popen[bytes]:
    """What a guard's death leaves where the kernel does not end the server with it."""
    lock = os.open(share.data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    orphan = subprocess.Popen(share._command, pass_fds=(lock,), start_new_session=True)
    os.pwrite(lock, b"%d\n" % orphan.pid, 0)
    os.close(lock)
    return orphan


async def test_a_server_that_outlived_its_guard_is_replaced_never_doubled(
    directory: Path, eventually: Eventually
) -> None:
    share = EmbeddedServer(directory)
    orphan = start_without_guard(share)
    await eventually(share.socket_path.exists)
    store = await open_here(directory)
    # The first link may still be to the orphan, before the guard has ended it.
    await asyncio.to_thread(orphan.wait)
    await eventually(lambda: lock_pid(directory, "server.lock") != orphan.pid and store.is_up)
    assert len(pids(directory)) == 2
    await store.aclose()
    await eventually(lambda: not pids(directory))


async def test_many_that_start_at_once_start_one_server(
    directory: Path, eventually: Eventually
) -> None:
    shares = [EmbeddedServer(directory) for _ in range(8)]
    barrier = threading.Barrier(len(shares))

    def join(share: EmbeddedServer) -> bool:
        barrier.wait()
        return share.try_join()

    with ThreadPoolExecutor(len(shares)) as threads:
        assert all(threads.map(join, shares))
    store = await open_here(directory)
    assert len(pids(directory)) == 2
    for share in shares:
        share.leave()
    assert await store.execute("PING") == b"PONG"
    await store.aclose()
    await eventually(lambda: not pids(directory))


async def test_a_store_is_handed_over_while_its_last_user_leaves(
    directory: Path, eventually: Eventually
) -> None:
    for round_number in range(8):
        store = await open_here(directory)
        assert await store.execute("INCR", "rounds") == round_number + 1
        assert len(pids(directory)) == 2
        await store.aclose()
        # Once at the moment of leaving, once while the guard has noticed, and between.
        await asyncio.sleep(0.03 * (round_number % 5))
    await eventually(lambda: not pids(directory))


@pytest.fixture
def share_with_children(directory: Path) -> Iterator[EmbeddedServer]:
    """A share whose process has an exec'ed and a forked child, both careless."""
    share = EmbeddedServer(directory)
    assert share.try_join()
    careless = subprocess.Popen(["sleep", "60"], close_fds=False)
    reading, writing = os.pipe()
    if not (forked := os.fork()):
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    yield share
    os.close(writing)
    os.close(reading)
    os.waitpid(forked, 0)
    careless.kill()
    careless.wait()


async def test_children_of_a_gateway_do_not_keep_the_store(
    share_with_children: EmbeddedServer, directory: Path, eventually: Eventually
) -> None:
    await eventually(lambda: len(pids(directory)) == 2)
    share_with_children.leave()
    await eventually(lambda: not pids(directory))


async def test_a_server_that_cannot_start_says_why(directory: Path, eventually: Eventually) -> None:
    store = await open_here(directory)
    await store.execute("SET", "a", 1)
    await store.aclose()
    await eventually(lambda: not pids(directory))
    for file in (directory / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"*broken\r\n" * 100)
    with pytest.raises(
        StoreUnavailable, match=r"(?s)cannot be reached.*Its log says.*[Bb]ad file format"
    ):
        await open_store(Redis(timeout=5), directory, wait_s=1)
    await eventually(lambda: not pids(directory))


async def test_an_end_of_the_log_that_was_cut_off_is_no_loss_of_the_rest(
    directory: Path, eventually: Eventually
) -> None:
    store = await open_here(directory)
    await store.execute("SET", "a", 1)
    await store.execute("SET", "b", "x" * 1000)
    await store.aclose()
    await eventually(lambda: not pids(directory))
    (file,) = (directory / "appendonlydir").glob("*.incr.aof")
    os.truncate(file, file.stat().st_size - 500)
    again = await open_here(directory)
    assert await again.execute("MGET", "a", "b") == [b"1", None]
    await again.aclose()
    await eventually(lambda: not pids(directory))


async def test_a_long_path_moves_the_socket_to_a_short_private_place(short_dir: Path) -> None:
    deep = short_dir / ("d" * 60) / ("e" * 60)
    store = await open_here(deep)
    path = Path(store.connection.address.socket_path)
    assert path.parent == Path(f"/tmp/tidegate-{os.geteuid()}")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    other = await open_here(deep / ".." / ("e" * 60))
    assert await other.execute("PING") == b"PONG"
    await other.aclose()
    await store.aclose()


def test_a_new_directory_is_private_and_an_empty_one_is_made_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    for directory in (empty, tmp_path / "new" / "deep"):
        EmbeddedServer(directory)
        assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o750)
    with pytest.raises(StoreRefused, match=f"chmod 700 {tmp_path}"):
        EmbeddedServer(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(StoreRefused, match="does not belong to the user"):
        EmbeddedServer(tmp_path)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="TIDEGATE_DATA_DIR"):
        EmbeddedServer(tmp_path / "file" / "data")


def test_without_any_server_the_error_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StoreRefused, match="Set REDIS_URL"):
        EmbeddedServer(tmp_path / "data")


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not on PATH")
async def test_the_server_on_the_path_serves_where_the_wheel_has_none(
    directory: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    store = await open_here(directory)
    assert store.facts is not None
    assert store.facts.product == "redis"
    await store.aclose()
    await eventually(lambda: not pids(directory))


def test_the_log_is_kept_bounded(tmp_path: Path) -> None:
    log = tmp_path / "valkey.log"
    keep_bounded(str(log))
    log.write_bytes(b"x" * LOG_BYTES_MAX)
    keep_bounded(str(log))
    assert log.exists()
    log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    keep_bounded(str(log))
    assert [file.name for file in tmp_path.iterdir()] == ["valkey.log.1"]


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.08])
async def test_a_cancelled_opening_gives_its_share_back(
    directory: Path, eventually: Eventually, after_s: float
) -> None:
    before = asyncio.all_tasks()
    opening = asyncio.create_task(open_here(directory))
    await asyncio.sleep(after_s)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled() or after_s
    if not opening.cancelled():
        await opening.result().aclose()
    assert asyncio.all_tasks() == before
    await eventually(lambda: not pids(directory))
