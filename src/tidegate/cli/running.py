"""A gateway run by a command: configuration, sockets, supervisor, and the lines that say so.

The supervisor gets bytes from here at the start and at every reload: the configuration that was
checked in this process is the one that all workers run.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tidegate import __version__
from tidegate.cli.failure import Failure, explained
from tidegate.cli.output import print_json_line, print_line
from tidegate.config import Config, ConfigError, load, redacted_url
from tidegate.supervisor import Bounds, ListenFailed, Supervisor, WorkerFailed, open_listeners
from tidegate.supervisor.assignment import Assignment
from tidegate.supervisor.log_lines import write_log_lines

log: Final = logging.getLogger("tidegate.cli")

WORKER_COMMAND: Final = (sys.executable, "-P", "-m", "tidegate.worker")
"""-P: what lies in the working directory must not shadow a module."""


@dataclass
class GatewayRun:
    """One run. `host`, `port` and `workers`, where given, win over file and environment."""

    path: Path
    data_dir: Path
    workers: int | None = None
    host: str | None = None
    port: int | None = None
    debug: bool = False
    environ: Mapping[str, str] | None = None
    """What references see, in place of the environment."""
    settings_notes: Sequence[str] = ()
    """What the environment asks for and does not get yet."""
    config: Config = field(init=False)
    address: tuple[str, int] = field(init=False)

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def store(self) -> str:
        """Where the store is, as it may be shown."""
        url = self.config.redis.url
        return f"embedded, in {self.data_dir}" if url == "embedded" else redacted_url(url)

    @property
    def notes(self) -> list[str]:
        """A line for each thing that is configured but not yet in effect."""
        return [*self.config.not_in_effect(), *self.settings_notes]

    async def until_stopped(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal. Raises Failure if the gateway cannot start."""
        write_log_lines(debug=self.debug)
        with explained(ConfigError):
            self.config = self._load()
        self.workers = self.workers or usable_cores()
        listen = self.config.listen
        with explained(ListenFailed):
            listeners = open_listeners(listen.host, listen.port, self.workers)
        self.address = listeners[0].address
        supervisor = Supervisor(
            listeners,
            WORKER_COMMAND,
            self._packed(self.config),
            self._reload,
            Bounds(drain_s=listen.bounds.drain_timeout),
        )
        try:
            await supervisor.run(on_ready)
        except WorkerFailed as failure:
            raise Failure(f"The gateway cannot start: {failure}") from failure

    def announce(self) -> None:
        cores = f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        print_line(f"Tidegate {__version__} serves {self.url} with {cores} (pid {os.getpid()})")
        print_line(f"Configuration: {self.path}")
        print_line(f"Store: {self.store}")
        for note in self.notes:
            print_line(f"Note: {note}")

    def announce_as_json(self) -> None:
        print_json_line(
            {
                "url": self.url,
                "port": self.address[1],
                "workers": self.workers,
                "pid": os.getpid(),
                "store": self.store,
                "notes": self.notes,
            }
        )

    def _load(self) -> Config:
        config = load(self.path, self.environ)
        given = {"host": self.host, "port": self.port}
        listen = config.listen.model_copy(
            update={name: value for name, value in given.items() if value is not None}
        )
        return config.model_copy(update={"listen": listen})

    def _reload(self) -> bytes:
        config = self._load()
        if (config.listen.host, config.listen.port) != (
            self.config.listen.host,
            self.config.listen.port,
        ):
            log.warning("listen.host and listen.port change at the next start only")
        return self._packed(config)

    def _packed(self, config: Config) -> bytes:
        return Assignment(config, self.data_dir, self.debug).packed()


def usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine has, in a container."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    else:
        return os.cpu_count() or 1
