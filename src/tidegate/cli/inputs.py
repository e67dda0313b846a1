"""What several commands take: the configuration, the data directory, the store. Declared once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tidegate.cli.failure import Failure, explained
from tidegate.cli.output import print_note

if TYPE_CHECKING:
    from tidegate.config import Config, Settings
    from tidegate.config.schema import Redis
    from tidegate.store import Store
    from tidegate.store.gateways import Advertised

CONFIG_DEFAULT: Final = Path("tidegate.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration. Default: TIDEGATE_CONFIG, else what the gateway here runs on, "
        "else ./tidegate.yaml.",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where the embedded store lives. Default: TIDEGATE_DATA_DIR, else ./.tidegate.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_settings() -> "Settings":
    from tidegate.config import ConfigError, Settings

    with explained(ConfigError):
        return Settings.read()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The configuration that a command means."""

    path: Path
    running: "Advertised | None"
    """The gateway that runs on it, on the data directory, if one does."""
    is_found: bool = False
    """Nobody named it: it is the one of the gateway that runs there."""


def chosen(given: Path | None, settings: "Settings", data_dir: Path | None) -> Chosen:
    """Return the configuration's file: as given, by TIDEGATE_CONFIG, of the gateway that runs on
    the data directory, or ./tidegate.yaml.
    """
    from tidegate.store.gateways import running_gateway

    running = running_gateway(data_directory(data_dir, settings))
    if running is None or given or settings.config:
        path = config_path(given, settings, data_dir)
        is_its = running is not None and running.config == str(path.absolute())
        return Chosen(path, running if is_its else None)
    if CONFIG_DEFAULT.exists() and running.config != str(CONFIG_DEFAULT.absolute()):
        print_note(f"The gateway that runs here uses {running.config}, not ./{CONFIG_DEFAULT}.")
    return Chosen(Path(running.config), running, is_found=True)


def config_path(given: Path | None, settings: "Settings", data_dir: Path | None = None) -> Path:
    """Return the configuration's file: as given, by TIDEGATE_CONFIG, or ./tidegate.yaml."""
    path = given or settings.config
    if path is not None:
        return path
    if not CONFIG_DEFAULT.exists():
        raise Failure(
            f"There is no configuration: ./{CONFIG_DEFAULT} does not exist. Name a file with "
            "--config FILE or TIDEGATE_CONFIG, or write one with `tidegate init`; "
            "`tidegate serve --to URL` needs none." + _left_by_serve_to(data_dir, settings)
        )
    return CONFIG_DEFAULT


def _left_by_serve_to(data_dir: Path | None, settings: "Settings") -> str:
    """Return where the file is that a `serve --to` wrote which runs no longer, if there is one."""
    from tidegate.cli.one_line import FILE

    path = (data_dir or settings.data_dir) / FILE
    if not path.exists():
        return ""
    return f" The last `tidegate serve --to` here ran on {path}: name it with -c {path}."


def loaded(path: Path) -> "Config":
    from tidegate.config import ConfigError, load

    with explained(ConfigError):
        return load(path)


def require_its_store(found: Chosen, config: "Config", data_dir: Path) -> None:
    """Refuse another store than that of the gateway that was found: nothing there is the same."""
    from tidegate.store.gateways import shown_store

    store = shown_store(config.redis, data_dir)
    its_store = store if found.running is None else found.running.store
    # One that starts this moment has not told yet.
    if found.is_found and its_store not in ("", store):
        raise Failure(
            f"The gateway that runs on {data_dir} has the store {its_store}; from here it would "
            f"be {store}: set REDIS_URL as it has it."
        )


def data_directory(given: Path | None, settings: "Settings") -> Path:
    return (given or settings.data_dir).absolute()


@asynccontextmanager
async def opened_store(redis: "Redis", data_dir: Path) -> AsyncIterator["Store"]:
    """The store that is named; the embedded one is joined, or started for the time being."""
    from tidegate.http import GatewayError
    from tidegate.store import StoreRefused, open_store

    with explained(GatewayError, StoreRefused):
        store = await open_store(redis, data_dir)
        try:
            yield store
        finally:
            await store.aclose()
