"""Which gateways run on a data directory: written by each, read by the commands and by the next.

Each gateway has a record of its own, readable by its owner alone, and holds a lock on it for as
long as it lives; the kernel lets go of it however it dies. A record without its lock is of the
past: what listens at that port by now is a stranger, and is not sent a token. Gateways on one
directory share its store, its metrics and its token, so they run one configuration.
"""

import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from tidegate.config import redacted_url
from tidegate.config.schema import Redis
from tidegate.store.embedded import own_privately
from tidegate.store.errors import StoreRefused
from tidegate.store.guard import is_taken

log: Final = logging.getLogger("tidegate.store")

FOLDER: Final = "gateways"
RECORD_BYTES_MAX: Final = 64 * 1024


class AnotherGateway(StoreRefused):
    """A gateway with another configuration has the directory."""


@dataclass(frozen=True, slots=True)
class Advertised:
    config: str
    """The configuration's absolute path."""
    pid: int
    written: str = ""
    """What `serve --to` wrote there: the path alone does not tell two such gateways apart."""
    url: str = ""
    """Of the admin API; empty: it is off, or not there yet."""
    store: str = ""
    """As it may be shown."""
    traffic_url: str = ""
    """Where requests go."""


class Record:
    """What one running gateway tells of itself."""

    def __init__(self, descriptor: int | None, gateway: Advertised) -> None:
        self._descriptor = descriptor
        self.tell(gateway)

    def tell(self, gateway: Advertised) -> None:
        """Tell this from now on."""
        if self._descriptor is None:
            return
        text = json.dumps(asdict(gateway)).encode() + b"\n"
        os.pwrite(self._descriptor, text, 0)  # first: who reads meanwhile finds no gap
        os.ftruncate(self._descriptor, len(text))


@contextmanager
def advertised(data_dir: Path, gateway: Advertised) -> Iterator[Record]:
    """Tell of `gateway` while the context lasts. Raises AnotherGateway if one with
    another configuration runs on the directory.

    Where nothing can be written nobody is told: whoever needs the directory says so himself.
    """
    folder = data_dir / FOLDER
    path = folder / f"{time.time_ns()}-{gateway.pid}.json"
    with ExitStack() as stack:
        try:
            own_privately(data_dir, "TIDEGATE_DATA_DIR")
            folder.mkdir(mode=0o700, exist_ok=True)
            with _alone_in(folder):
                _refuse_beside_another(data_dir, gateway)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                stack.callback(os.close, descriptor)
                stack.callback(path.unlink, missing_ok=True)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                record = Record(descriptor, gateway)
        except AnotherGateway:
            raise
        except (OSError, StoreRefused) as error:
            log.info("Commands will not find this gateway: %s", error)
            record = Record(None, gateway)
        yield record


def running_gateway(data_dir: Path) -> Advertised | None:
    """Return the gateway that runs on `data_dir` now, if there is one; of several the first whose
    admin API can be asked.
    """
    gateways = _gateways(data_dir)
    return next((gateway for gateway in gateways if gateway.url), next(iter(gateways), None))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others from writing a record between our look and ours; no holder waits for anything."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_beside_another(data_dir: Path, gateway: Advertised) -> None:
    for other in _gateways(data_dir, forget_the_dead=True):
        if (other.config, other.written) != (gateway.config, gateway.written):
            where = f" at {other.traffic_url}" if other.traffic_url else ""
            raise AnotherGateway(
                f"Another gateway runs on {data_dir}: pid {other.pid}{where}, with the "
                f"configuration {other.config}. Keys, limits and metrics lie there, so give this "
                "one a directory of its own: TIDEGATE_DATA_DIR, or --data-dir of a command"
            )


def _gateways(data_dir: Path, *, forget_the_dead: bool = False) -> list[Advertised]:
    """Return those that live, the oldest first; none where somebody else could have written them.

    What a record names is loaded, and its API is sent the admin token.
    """
    found = []
    folder = data_dir / FOLDER
    if not (_is_private(data_dir) and _is_private(folder)):
        return []
    for path in sorted(folder.glob("*.json")):
        try:
            # Nor does a link or a pipe of that name lead anywhere, or hold anybody up.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or not _is_ours(about):
                continue
            if not is_taken(descriptor, fcntl.LOCK_SH):
                found += _read(descriptor)
            elif forget_the_dead:
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return found


def _is_private(folder: Path) -> bool:
    """Whether it is a directory of this user that nobody else may write into."""
    try:
        return _is_ours(folder.stat())
    except OSError:
        return False


def _is_ours(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(descriptor: int) -> list[Advertised]:
    """Return what a record tells; nothing if it is being written this moment."""
    try:
        told = json.loads(os.pread(descriptor, RECORD_BYTES_MAX, 0))
        known = {field.name for field in fields(Advertised)}
        # Another version may tell more.
        return [Advertised(**{name: told[name] for name in known & told.keys()})]
    except (ValueError, TypeError, AttributeError):
        return []


def shown_store(config: Redis, data_dir: Path) -> str:
    """Return where the store is, as it may be shown."""
    if config.url != "embedded":
        return redacted_url(config.url)
    return f"embedded, in {data_dir.resolve()}"
