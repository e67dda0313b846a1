"""A gateway run by a command: configuration, sockets, supervisor, and the lines that say so.

The supervisor gets bytes from here at the start and at every reload: the configuration that was
checked in this process is the one that all workers run.
"""

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from tidegate import __version__
from tidegate.cli.admin_token import admin_token
from tidegate.cli.failure import Failure, explained
from tidegate.cli.inputs import data_directory
from tidegate.cli.one_line import write_file
from tidegate.cli.output import print_json_line, print_line
from tidegate.cli.urls import reachable, url_of
from tidegate.config import Admin, Config, ConfigError, Listen, Settings, differences, load
from tidegate.store import StoreRefused
from tidegate.store.gateways import Advertised, advertised, shown_store
from tidegate.supervisor import (
    Bounds,
    Companion,
    Listener,
    ListenFailed,
    Supervisor,
    WorkerFailed,
    open_listener,
    open_listeners,
)
from tidegate.supervisor.assignment import Assignment
from tidegate.supervisor.log_lines import write_log_lines

log: Final = logging.getLogger("tidegate.cli")

WORKER_COMMAND: Final = (sys.executable, "-P", "-m", "tidegate.worker")
"""-P: what lies in the working directory must not shadow a module."""
CONTROL_COMMAND: Final = (sys.executable, "-P", "-m", "tidegate.control_process")

Section = TypeVar("Section", Admin, Listen)


@dataclass
class GatewayRun:
    """One run. Hosts, ports and `workers`, where given, win over file and environment."""

    path: Path
    data_dir: Path
    settings: Settings
    workers: int | None = None
    host: str | None = None
    port: int | None = None
    admin_host: str | None = None
    admin_port: int | None = None
    environ: Mapping[str, str] | None = None
    """What references see, in place of the environment."""
    written: str = ""
    """What `path` shall hold, where the command line takes the place of a file."""
    config: Config = field(init=False)
    """As it was at the start: what cannot change without another start."""
    address: tuple[str, int] = field(init=False)
    admin_address: tuple[str, int] | None = field(init=False, default=None)
    """None: there is no admin API."""

    @property
    def url(self) -> str:
        return url_of(self.address)

    @property
    def admin_url(self) -> str | None:
        return None if self.admin_address is None else url_of(self.admin_address)

    @property
    def store(self) -> str:
        """Where the store is, as it may be shown."""
        return shown_store(self.config.redis, self.data_dir)

    async def until_stopped(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal. Raises Failure if the gateway cannot start."""
        write_log_lines(debug=self.settings.debug, app_name=self.settings.app_name)
        ours = Advertised(str(self.path.absolute()), os.getpid(), self.written)
        with explained(StoreRefused), advertised(self.data_dir, ours) as record:
            # Not before it is known that no other gateway runs on what lies there.
            if self.written:
                write_file(self.path, self.written)
            with explained(ConfigError):
                self.config = self._running = self._load()
            supervisor = self._supervisor()
            admin_url, url = reachable(self.admin_url or ""), reachable(self.url)
            record.tell(replace(ours, url=admin_url, store=self.store, traffic_url=url))
            try:
                await supervisor.run(on_ready)
            except WorkerFailed as failure:
                raise Failure(f"The gateway cannot start: {failure}") from failure

    def _supervisor(self) -> Supervisor:
        """Return it on the sockets that are opened here."""
        self.workers = self.workers or usable_cores()
        listen = self.config.listen
        with explained(ListenFailed):
            listeners = open_listeners(listen.host, listen.port, self.workers)
        self.address = listeners[0].address
        return Supervisor(
            listeners,
            WORKER_COMMAND,
            self._packed(self.config),
            self._reload,
            Bounds(drain_s=listen.bounds.drain_timeout, silence_s=listen.bounds.hang_timeout),
            self._companions(),
            self._applied,
        )

    def command(self, *words: str) -> str:
        """Return a command line that reaches this gateway from where it was started."""
        is_default = self.data_dir == data_directory(None, self.settings)
        where = [] if is_default else ["--data-dir", str(self.data_dir)]
        return shlex.join([program(), *words, *where])

    def announce(self) -> None:
        cores = f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        print_line(f"Tidegate {__version__} serves {self.url} with {cores} (pid {os.getpid()})")
        print_line(f"Configuration: {self.path}")
        print_line(f"Store: {self.store}")
        if self.admin_url is not None:
            print_line(
                f"Admin API: {self.admin_url}/docs (the token: {self.command('admin', 'login')})"
            )

    def announce_as_json(self, **more: object) -> None:
        print_json_line(
            {
                "url": self.url,
                "port": self.address[1],
                "admin_url": self.admin_url,
                "workers": self.workers,
                "pid": os.getpid(),
                "store": self.store,
                **more,
            }
        )

    def _load(self) -> Config:
        config = load(self.path, self.environ)
        listen = _with(config.listen, host=self.host, port=self.port)
        admin = _with(config.admin, host=self.admin_host, port=self.admin_port)
        return config.model_copy(update={"listen": listen, "admin": admin})

    def _companions(self) -> list[Companion]:
        """The control process on its socket; none if it is off."""
        admin = self.config.admin
        if not admin.enabled:
            return []
        with explained(ListenFailed):
            listener = _admin_listener(admin)
        self.admin_address = listener.address
        return [Companion("The control process", CONTROL_COMMAND, listener)]

    def _reload(self) -> bytes:
        self._coming = self._on_the_open_sockets(self._load())
        return self._packed(self._coming)

    def _on_the_open_sockets(self, config: Config) -> Config:
        """Return `config` with what belongs to the sockets as it was at the start: whether
        /metrics asks for the token follows from the address that is bound, not from a new one.
        """
        listen, admin = self.config.listen, self.config.admin
        if (config.listen.host, config.listen.port) != (listen.host, listen.port):
            log.warning("listen.host and listen.port change at the next start only")
        if config.admin != admin:
            log.warning("admin changes at the next start only")
        bound = _with(config.listen, host=listen.host, port=listen.port)
        return config.model_copy(update={"listen": bound, "admin": admin})

    def _applied(self) -> None:
        changes = differences(self._running, self._coming)
        self._running = self._coming
        for change in changes or ["nothing"]:
            log.info("Changed in the configuration: %s", change)

    def _packed(self, config: Config) -> bytes:
        has_admin = self.config.admin.enabled
        token = admin_token(self.data_dir, self.settings) if has_admin else None
        settings = self.settings
        return Assignment(
            config, self.data_dir, settings.debug, settings.app_name, token, self.workers or 1
        ).packed()


def _with(section: Section, **given: str | int | None) -> Section:
    return section.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )


def _admin_listener(admin: Admin) -> Listener:
    """The port that was asked for; where none was, 8001 or else a free one, so that gateways can
    run side by side without a word about it."""
    try:
        return open_listener(admin.host, admin.port, "--admin-")
    except ListenFailed as failure:
        if not failure.is_taken or "port" in admin.model_fields_set:
            raise
        return open_listener(admin.host, 0, "--admin-")


def program() -> str:
    """Return what calls us from a shell here: by its path where it is not on PATH."""
    beside = Path(sys.executable).with_name("tidegate")
    if shutil.which("tidegate") is not None or not beside.exists():
        return "tidegate"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine has, in a container."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    else:
        return os.cpu_count() or 1
