"""Where the running gateway of a data directory takes questions: written by `serve`, read by the
commands.

The writer holds a lock on the file for as long as it lives, and the kernel lets go of it however
it dies. A file without its lock is of the past: what listens at that port by now is a stranger,
and is not sent a token. Of several gateways that share a directory, the first is the one told of.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tidegate.cli.failure import explained
from tidegate.store.guard import is_taken

FILE: Final = "admin.json"
TRIES: Final = 5
LOOK_S: Final = 0.01
"""Far longer than a look takes."""


@dataclass(frozen=True, slots=True)
class Advertised:
    url: str
    """Of the admin API."""
    config: str
    """The configuration's absolute path."""
    store: str
    """As it may be shown."""
    pid: int
    traffic_url: str = ""
    """Where requests go."""


@contextmanager
def advertised(data_dir: Path, gateway: Advertised) -> Iterator[None]:
    """Tell of `gateway` while the context lasts, unless another one is told of."""
    from tidegate.store import StoreRefused, own_privately

    with explained(StoreRefused):
        own_privately(data_dir, "TIDEGATE_DATA_DIR")
    descriptor = os.open(data_dir / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if _is_ours(descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(gateway)).encode() + b"\n", 0)
        yield
    finally:
        os.close(descriptor)


def running_gateway(data_dir: Path) -> Advertised | None:
    """Return the gateway that runs on `data_dir` now and can be asked, if there is one."""
    try:
        descriptor = os.open(data_dir / FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        if is_taken(descriptor, fcntl.LOCK_SH):
            return None
        return Advertised(**json.loads(os.pread(descriptor, 64 * 1024, 0)))
    except (ValueError, TypeError):  # it is being written this moment, or by another version
        return None
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Ask more than once: a command that looks holds the lock for a moment."""
    for _ in range(TRIES):
        if is_taken(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(LOOK_S)
    return False
