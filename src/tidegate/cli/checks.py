"""What `doctor` looks at: each check returns findings, and one that is not good says what to do.

Looking changes nothing and leaves nothing behind: the embedded store is joined where it lies, and
where it never ran it is started for the moment in a directory that goes with it.
"""

import asyncio
import fcntl
import os
import platform
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import Chosen, chosen, opened_store
from tidegate.cli.own_code import check_own_code
from tidegate.config import Config, ConfigError, Settings, load
from tidegate.config.schema import Redis
from tidegate.store.gateways import Advertised, shown_store
from tidegate.supervisor import ListenFailed, open_listener, open_listeners, port_holder
from tidegate.supervisor.open_files import files_needed, raise_open_files
from tidegate.upstream.asgi_upstream import SCHEME
from tidegate.upstream.reach import reason_of
from tidegate.upstream.target import Target

Level = Literal["ok", "warning", "broken"]

PYTHON_MIN: Final = (3, 11)
WHEELS: Final = ("hiredis", "httptools", "uvloop")
"""Compiled parts without which nothing runs."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    text: str


def python_found() -> Finding:
    text = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.version_info < PYTHON_MIN:
        return Finding("python", "broken", f"{text}: 3.11 or later is needed")
    return Finding("python", "ok", text)


def wheels_found() -> Finding:
    missing = [name for name in WHEELS if find_spec(name) is None]
    if missing:
        return Finding(
            "packages", "broken", f"{', '.join(missing)} missing: install the requirements again"
        )
    return Finding(
        "packages", "ok", ", ".join(f"{name} {metadata.version(name)}" for name in WHEELS)
    )


def config_found(
    given: Path | None, settings: Settings, data_dir: Path | None
) -> tuple[Finding, Config | None, Advertised | None]:
    """Return what is found, with the configuration and with the gateway that runs on it."""
    found: Chosen | None = None
    try:
        found = chosen(given, settings, data_dir)
        config = load(found.path)
        check_own_code(config)
    except (Failure, ConfigError) as error:
        running = None if found is None else found.running
        kept = "" if running is None else "\nThe gateway that runs keeps what it has loaded before."
        return Finding("configuration", "broken", f"{error}{kept}"), None, running
    return Finding("configuration", "ok", f"{found.path} is valid"), config, found.running


def data_dir_found(data_dir: Path) -> Finding:
    """Keys and the store's socket lie here: it must be ours, and ours alone."""
    if not data_dir.exists():
        parent = next(place for place in data_dir.parents if place.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return Finding("data directory", "ok", f"{data_dir} will be made")
        return Finding(
            "data directory", "broken", f"{data_dir} cannot be made: {parent} is not writable"
        )
    mode = data_dir.stat()
    if not data_dir.is_dir() or not os.access(data_dir, os.W_OK | os.X_OK):
        return Finding("data directory", "broken", f"{data_dir} is not a writable directory")
    if mode.st_uid != os.geteuid() or mode.st_mode & 0o077:
        return Finding(
            "data directory",
            "broken",
            f"{data_dir} is open to others ({stat.filemode(mode.st_mode)}): chmod 700 {data_dir}",
        )
    return Finding("data directory", "ok", f"{data_dir} is private")


async def its_store_found(
    running: Advertised, config: Config | None, data_dir: Path
) -> list[Finding]:
    """Look at the store that a running gateway has told of, whatever would be chosen from here."""
    redis = _its_store(running, config, data_dir)
    if redis is not None:
        return await store_found(redis, data_dir)
    text = f"the gateway that runs uses {running.store or 'one that it has not told of yet'}"
    if running.store:
        text += ": to have it examined, set REDIS_URL as the gateway has it"
    return [Finding("store", "warning", text)]


def _its_store(running: Advertised, config: Config | None, data_dir: Path) -> Redis | None:
    """Return the store; None if nobody here knows its password."""
    known = [Redis()] if config is None else [config.redis, Redis()]
    if "***" not in running.store:
        with suppress(ValueError):  # it is embedded, or of a version that knows other kinds
            known.append(Redis(url=running.store))
    return next((one for one in known if shown_store(one, data_dir) == running.store), None)


async def store_found(redis: Redis, data_dir: Path) -> list[Finding]:
    is_new = redis.url == "embedded" and not (data_dir / "users.lock").exists()
    with _passing_directory() if is_new else nullcontext(data_dir) as place:
        try:
            async with opened_store(redis, place) as store:
                facts = await store.describe()
        except Failure as failure:
            return [Finding("store", "broken", str(failure))]
    where = f"can be started in {data_dir}" if is_new else f"at {facts.address}"
    aof = f"AOF on, fsync {facts.fsync or 'unknown'}" if facts.is_aof_on else "AOF off"
    found = Finding(
        "store",
        "ok",
        f"{facts.product} {facts.version} {where}; {aof}; "
        f"WAITAOF {'there' if facts.has_waitaof else 'absent'}; "
        f"maxmemory-policy {facts.maxmemory_policy or 'unknown'}"
        + (f"; {facts.topology}" if facts.topology else ""),
    )
    return [found, *(Finding("store", "warning", text) for text in facts.warnings)]


@contextmanager
def _passing_directory() -> Iterator[Path]:
    """A data directory for the moment: it goes once the store in it has ended."""
    with tempfile.TemporaryDirectory(prefix="tidegate-doctor-") as name:
        yield Path(name)
        guard = Path(name, "guard.lock")
        if guard.exists():
            with guard.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the guard holds it until its server is gone


def served_ports_found(running: Advertised) -> list[Finding]:
    """Tell whose the ports are: they need not be free."""
    if not running.traffic_url:
        return [Finding("port", "ok", f"this gateway runs: pid {running.pid}")]
    admin = f"this gateway runs: {running.url}" if running.url else "the admin API is switched off"
    return [
        Finding("port", "ok", f"this gateway runs: pid {running.pid}, {running.traffic_url}"),
        Finding("admin port", "ok", admin),
    ]


def port_found(config: Config) -> Finding:
    host, port = config.listen.host, config.listen.port
    try:
        for listener in open_listeners(host, port, 1):
            listener.close()
    except ListenFailed as error:
        return _taken("port", port, error)
    return Finding("port", "ok", f"{host}:{port} is free")


def admin_port_found(config: Config) -> Finding:
    check, admin = "admin port", config.admin
    if not admin.enabled:
        return Finding(check, "ok", "the admin API is switched off")
    try:
        open_listener(admin.host, admin.port, "--admin-").close()
    except ListenFailed as error:
        if error.is_taken and "port" not in admin.model_fields_set:
            return Finding(check, "ok", f"{admin.port} is taken; a free one will be used")
        return _taken(check, admin.port, error)
    return Finding(check, "ok", f"{admin.host}:{admin.port} is free")


async def targets_found(config: Config) -> list[Finding]:
    """Connect to each target once; one that is away is no reason not to serve."""
    urls = {
        url: service.timeouts.connect
        for service in config.services
        for url in service.targets
        if not url.startswith(SCHEME)
    }
    return await asyncio.gather(*(_target_found(url, timeout) for url, timeout in urls.items()))


async def _target_found(url: str, timeout_s: float) -> Finding:
    target = Target.parse(url)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(target.host, target.port)
    except OSError as error:
        return Finding("target", "warning", f"{url} cannot be reached: {reason_of(error)}")
    writer.close()
    return Finding("target", "ok", f"{url} accepts connections")


def _taken(check: str, port: int, error: ListenFailed) -> Finding:
    holder = port_holder(port)
    if holder is not None and "tidegate" in holder.command:
        return Finding(check, "warning", f"{port} is served by a gateway, {holder}")
    return Finding(check, "broken", str(error))


def open_files_found(config: Config) -> Finding:
    needed = files_needed(config)
    allowed = raise_open_files(needed)
    if allowed < needed:
        return Finding(
            "open files",
            "warning",
            f"a worker may open {allowed}, its bounds need {needed}: raise the hard limit "
            "(ulimit -Hn, LimitNOFILE=) or lower listen.bounds.connections",
        )
    return Finding("open files", "ok", f"{needed} a worker, as its bounds need")
