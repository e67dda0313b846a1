"""`tidegate serve --to URL`: a gateway without a file, and the key that opens it.

The configuration is written into the data directory, so that a reload and every other command
read what the gateway runs on. The first start makes a key once it serves, and shows it then: the
store keeps its hash, so a later start finds that there is one and does not make another.
"""

import asyncio
import logging
import os
import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tidegate.cli.failure import Failure, explained
from tidegate.cli.output import print_error, print_line, stop_printing
from tidegate.cli.urls import reachable

if TYPE_CHECKING:
    from tidegate.cli.running import GatewayRun
    from tidegate.config.one_line import OneLine

log: Final = logging.getLogger("tidegate.cli")

FILE: Final = "serve.yaml"
KEY_NAME: Final = "first"

ToOption = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="URL", help="Forward every path there; takes the place of a file."
    ),
]
RateOption = Annotated[
    str | None, typer.Option("--rate", metavar="RATE", help="With --to: such as 5/s or 100/min.")
]
BurstOption = Annotated[
    str | None,
    typer.Option("--burst", metavar="COUNT", help="With --rate: how many at once."),
]
QuotaOption = Annotated[
    str | None, typer.Option("--quota", metavar="QUOTA", help="With --to: such as 1000/day.")
]
AuthOption = Annotated[
    str | None,
    typer.Option("--auth", metavar="KIND", help="With --to: none asks for no key."),
]


def said_on_the_command_line(to: str | None, **words: str | None) -> "OneLine | None":
    """Return what the options say in place of a file; raise a usage error if they contradict."""
    from tidegate.config.one_line import OneLine

    if to is not None:
        return OneLine(to, **words)
    for name, word in words.items():
        if word is not None:
            reason = "it goes with --to URL; a file says it for itself"
            raise typer.BadParameter(reason, param_hint=f"--{name}")
    return None


def text_of(said: "OneLine", path: Path) -> str:
    """Return what `path` shall hold. Raises Failure."""
    from tidegate.config import ConfigError

    with explained(ConfigError):
        text = said.written()
    return (
        "# Written by `tidegate serve --to` at each of its starts.\n"
        f"# To go on from here: cp {shlex.quote(str(path))} tidegate.yaml\n{text}"
    )


def write_file(path: Path, text: str) -> None:
    """Write the configuration whole or not at all. Raises Failure."""
    from tidegate.store import StoreRefused, own_privately

    with explained(StoreRefused):
        own_privately(path.parent, "TIDEGATE_DATA_DIR")
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error


@dataclass
class FirstKey:
    """Says where the gateway is and what opens it, once it serves."""

    run: "GatewayRun"
    is_open: bool
    """No key is asked for, so none is made."""
    as_json: bool
    _telling: asyncio.Task[None] | None = field(init=False, default=None)

    def announce(self) -> None:
        """Return at once: the supervisor goes on while the key is made."""
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        key: str | None = None
        lines: list[str] = []
        if not self.is_open:
            try:
                key = await self._made()
                if key is not None:
                    lines = [f"Key, shown this once and valid after a restart too: {key}"]
                else:
                    lines = ["Key: an earlier start has made and shown it. Another in its place:"]
                    lines += [f"  {self._command('rotate', KEY_NAME)}"]
            except Exception as error:  # whatever it is, the gateway serves: say where
                if isinstance(error, Failure):
                    print_error(f"No key could be made: {error}")
                else:
                    log.exception("No key could be made")
                lines = ["Make a key:", f"  {self._command('create', 'another')}"]
        try:
            self._print(key, lines)
        except BrokenPipeError:  # nobody reads it: the end, as without --to
            stop_printing()
            signal.raise_signal(signal.SIGTERM)

    def _print(self, key: str | None, lines: list[str]) -> None:
        if self.as_json:
            self.run.announce_as_json(key=key)
            return
        # The key first: it is told this once.
        for line in lines:
            print_line(line)
        self.run.announce()
        print_line("Try:")
        for line in lines_to_try(self.run.url, None if self.is_open else key or "KEY"):
            print_line(f"  {line}")

    async def _made(self) -> str | None:
        """Return a new key; None if an earlier start has made it."""
        from tidegate.cli.inputs import opened_store
        from tidegate.config.one_line import TENANT
        from tidegate.identity import NameTaken, Repository

        async with opened_store(self.run.config.redis, self.run.data_dir) as store:
            try:
                created = await Repository(self.run.config, store).create_key(TENANT, KEY_NAME)
            except NameTaken:
                return None
        return created.key

    def _command(self, verb: str, name: str) -> str:
        from tidegate.config.one_line import TENANT

        return self.run.command("keys", verb, "--tenant", TENANT, "--name", name)


def lines_to_try(url: str, key: str | None, path: str = "/") -> list[str]:
    """Return commands that show the answer with its fields, and what happens beyond the limit."""
    url = reachable(url)
    header = f'-H "X-API-Key: {key}" ' if key else ""
    each = "curl -s -o /dev/null -w '%{http_code}\\n' "
    return [
        f"curl -i {header}{url}{path}",
        f"for i in $(seq 12); do {each}{header}{url}{path}; done",
    ]
