"""What several commands take: the configuration, the data directory, the store. Declared once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tidegate.cli.failure import Failure, explained

if TYPE_CHECKING:
    from tidegate.config import Config, Settings
    from tidegate.store import Store

CONFIG_DEFAULT: Final = Path("tidegate.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration. Default: TIDEGATE_CONFIG, else ./tidegate.yaml.",
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


def config_path(given: Path | None, settings: "Settings", data_dir: Path | None = None) -> Path:
    """Return the configuration's file: as given, by TIDEGATE_CONFIG, or ./tidegate.yaml.

    Where there is none, the failure names the one of the gateway that runs on the data directory.
    """
    path = given or settings.config
    if path is not None:
        return path
    if not CONFIG_DEFAULT.exists():
        from tidegate.cli.advertised import running_gateway

        missing = f"There is no configuration: ./{CONFIG_DEFAULT} does not exist"
        running = running_gateway(data_directory(data_dir, settings))
        if running is not None:
            file = running.config
            raise Failure(f"{missing}; a running gateway uses {file}: add --config {file}")
        raise Failure(
            f"{missing}. "
            "Name a file with --config FILE or TIDEGATE_CONFIG, or write one with `tidegate init`."
        )
    return CONFIG_DEFAULT


def load_config(given: Path | None, settings: "Settings", data_dir: Path | None = None) -> "Config":
    from tidegate.config import ConfigError, load

    path = config_path(given, settings, data_dir)
    with explained(ConfigError):
        return load(path)


def data_directory(given: Path | None, settings: "Settings") -> Path:
    return (given or settings.data_dir).absolute()


def shown_store(config: "Config", data_dir: Path) -> str:
    """Return where the store is, as it may be shown."""
    from tidegate.config import redacted_url

    url = config.redis.url
    return f"embedded, in {data_dir}" if url == "embedded" else redacted_url(url)


@asynccontextmanager
async def opened_store(config: "Config", data_dir: Path) -> AsyncIterator["Store"]:
    """The store of a configuration; the embedded one is joined, or started for the time being."""
    from tidegate.http import GatewayError
    from tidegate.store import StoreRefused, open_store

    with explained(GatewayError, StoreRefused):
        store = await open_store(config.redis, data_dir)
        try:
            yield store
        finally:
            await store.aclose()
