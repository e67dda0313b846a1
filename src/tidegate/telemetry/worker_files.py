"""The numbers of all workers, in files of one directory: written each second, never torn, kept.

Each worker replaces a file of its own and holds a lock beside it for as long as it lives, however
it dies. Its counters outlive it: the next worker to start adds them to `ended.json`. That file says
which files it holds, so that a fold that was cut short counts nothing twice, and one lock on the
directory keeps readers from seeing half of it. A worker killed with -9 loses a second of counts.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tidegate.telemetry.families import Series, add

ENDED: Final = "ended.json"
_GUARD: Final = "guard.lock"


class WorkerFile:
    """This worker's file. May be used from any thread; nothing is written after `close`.

    One writes at a time: who gave up waiting for a thread that writes has not stopped it.
    """

    def __init__(self, directory: Path, *, continues: bool) -> None:
        """Make it. `continues`: the counters of workers that ended go on even if all have.

        Else a worker that finds no other alive starts from nothing. Raises OSError.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        with _guarded(directory):
            _fold(directory, forget_if_alone=not continues)
            self._lock = os.open(directory / f"{self._name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._writing = threading.Lock()
        self._is_closed = False

    def write(self, series: Series) -> None:
        """Replace what was written before. Raises OSError."""
        with self._writing:
            if not self._is_closed:
                self._replace(series)

    def close(self, last: Series | None = None) -> None:
        """Write `last`, and say that this worker has ended; what it wrote stays. Raises OSError,
        closed all the same."""
        with self._writing:
            self._is_closed = True
            try:
                if last is not None:
                    self._replace(last)
            finally:
                os.close(self._lock)

    def _replace(self, series: Series) -> None:
        _replace(self._directory / f"{self._name}.json", {"series": series})


def read_sum(directory: Path) -> Series:
    """Return the numbers of all workers; gauges only of those that live."""
    total: Series = {}
    if not directory.is_dir():
        return total
    with _guarded(directory):
        ended = _read(directory / ENDED)
        add(total, ended.get("series", {}), with_gauges=False)
        for name, is_alive in _workers(directory):
            if name not in ended.get("holds", ()):
                written = _read(directory / f"{name}.json")
                add(total, written.get("series", {}), with_gauges=is_alive)
    return total


def _fold(directory: Path, *, forget_if_alone: bool) -> None:
    """Move the counters of workers that ended into one file."""
    workers = list(_workers(directory))
    ended = [name for name, is_alive in workers if not is_alive]
    if forget_if_alone and len(ended) == len(workers):
        (directory / ENDED).unlink(missing_ok=True)
    elif ended:
        before = _read(directory / ENDED)
        total: Series = before.get("series", {})
        for name in ended:
            if name not in before.get("holds", ()):
                written = _read(directory / f"{name}.json")
                add(total, written.get("series", {}), with_gauges=False)
        _replace(directory / ENDED, {"series": total, "holds": ended})
    for name in ended:
        for suffix in (".json", ".json.new", ".lock"):
            (directory / f"{name}{suffix}").unlink(missing_ok=True)


def _workers(directory: Path) -> Iterator[tuple[str, bool]]:
    """Yield the name of each worker, and whether it is alive. Under the directory's lock only."""
    for lock in sorted(directory.glob("*-*.lock")):
        with suppress(FileNotFoundError):
            descriptor = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield lock.stem, True
            else:
                yield lock.stem, False
            finally:
                os.close(descriptor)


@contextmanager
def _guarded(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / _GUARD, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _replace(path: Path, value: dict[str, Any]) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, separators=(",", ":"))
    fresh.replace(path)
