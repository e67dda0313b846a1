"""`tidegate admin`: where the admin API is, and what opens it."""

from pathlib import Path

import typer

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    chosen,
    data_directory,
    loaded,
    read_settings,
)
from tidegate.cli.output import RICH_HELP, print_json, print_line

app = typer.Typer(no_args_is_help=True, rich_markup_mode=RICH_HELP, help="Reach the admin API.")


@app.callback()
def admin() -> None:
    """Reach the admin API."""


@app.command("login")
def login(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Print where the admin API is, and the token that it asks for.

    The configuration is asked only while no gateway runs on the data directory.

    Examples:

      tidegate admin login

      TOKEN=$(tidegate admin login --json | jq -r .token)    # needs jq
    """
    from tidegate.cli.admin_token import known_admin_token
    from tidegate.store.gateways import running_gateway

    settings = read_settings()
    place: Path = data_directory(data_dir, settings)
    token = known_admin_token(place, settings)
    if token is None:
        raise Failure(
            f"There is no admin token yet: the first start of a gateway on {place} makes one."
        )
    running = running_gateway(place)
    served = "" if running is None else running.url
    url = served or _configured_url(config, data_dir)
    if as_json:
        print_json(
            {
                "url": url,
                "docs": f"{url}/docs",
                "token": token.get_secret_value(),
                "running": bool(served),
            }
        )
        return
    print_line(f"Admin API: {url}" + ("" if served else f" (no gateway runs on {place} now)"))
    print_line(f"Documentation: {url}/docs")
    print_line(f"Token: {token.get_secret_value()}")
    print_line("Send it as `Authorization: Bearer TOKEN`.")


def _configured_url(config: Path | None, data_dir: Path | None) -> str:
    from tidegate.cli.urls import url_of

    admin = loaded(chosen(config, read_settings(), data_dir).path).admin
    if not admin.enabled:
        raise Failure("The admin API is switched off in the configuration (admin).")
    return url_of((admin.host, admin.port))
