"""What `doctor` looks at: each check returns findings, and one that is not good says what to do.

Looking changes nothing, but for the embedded store: it is joined, or started for the moment.
"""

import os
import platform
import stat
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import chosen, opened_store
from tidegate.cli.own_code import check_own_code
from tidegate.config import Config, ConfigError, Settings, load
from tidegate.supervisor import ListenFailed, open_listener, open_listeners, port_holder
from tidegate.supervisor.open_files import files_needed, raise_open_files

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
) -> tuple[list[Finding], Config | None]:
    try:
        path = chosen(given, settings, data_dir).path
        config = load(path)
        check_own_code(config)
    except (Failure, ConfigError) as error:
        return [Finding("configuration", "broken", str(error))], None
    return [Finding("configuration", "ok", f"{path} is valid")], config


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


async def store_found(config: Config, data_dir: Path) -> list[Finding]:
    try:
        async with opened_store(config, data_dir) as store:
            facts = await store.describe()
    except Failure as failure:
        return [Finding("store", "broken", str(failure))]
    aof = f"AOF on, fsync {facts.fsync or 'unknown'}" if facts.is_aof_on else "AOF off"
    found = Finding(
        "store",
        "ok",
        f"{facts.product} {facts.version} at {facts.address}; {aof}; "
        f"WAITAOF {'there' if facts.has_waitaof else 'absent'}; "
        f"maxmemory-policy {facts.maxmemory_policy or 'unknown'}",
    )
    return [found, *(Finding("store", "warning", text) for text in facts.warnings)]


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
