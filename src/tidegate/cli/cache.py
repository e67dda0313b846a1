"""`tidegate cache`: forget what is cached."""

import re
from typing import Annotated

import typer

from tidegate.cli.inputs import ConfigOption, DataDirOption, JsonOption
from tidegate.cli.operations import Operations, checked, done
from tidegate.cli.output import RICH_HELP, print_json, print_line
from tidegate.cli.purge import Purge
from tidegate.cli.tenants import require_tenant

app = typer.Typer(no_args_is_help=True, rich_markup_mode=RICH_HELP, help="Forget what is cached.")


@app.callback()
def cache() -> None:
    """Forget what is cached."""


@app.command("purge")
def purge(
    url: Annotated[
        list[str] | None,
        typer.Option("--url", "-u", metavar="URL", help="As clients ask for it. May be repeated."),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", "-t", metavar="TENANT", help="What was stored for it alone."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything, of everybody.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget cached answers. Every worker follows at once.

    Examples:

      tidegate cache purge --url "http://127.0.0.1:8000/api/v1/things?page=2"

      tidegate cache purge --tenant acme

      tidegate cache purge --all
    """
    if bool(url) + (tenant is not None) + everything != 1:
        raise typer.BadParameter("it is one of --url, --tenant and --all")
    if tenant is not None:
        checked("tenant", tenant)
    what = Purge(tuple(map(_whole, url or ())), tenant)

    async def run(operations: Operations) -> None:
        if tenant is not None:
            await require_tenant(operations, tenant)
        await operations.purge_cache(what)

    done(config, data_dir, run)
    if as_json:
        print_json({"purged": what.body})
        return
    print_line(f"Purged {what.in_words}.")


def _whole(url: str) -> str:
    """Return `url` if it is one as the admin API takes it, else say how to write it."""
    from tidegate.gateway.purge import URL_PATTERN

    if url.startswith("/"):
        example = f"http://127.0.0.1:8000{url}"
        reason = f"{url} is a path: write the whole URL as clients ask for it, such as {example}"
        raise typer.BadParameter(reason, param_hint="--url")
    if re.fullmatch(URL_PATTERN, url) is None:
        reason = (
            f"{url} is no URL: write it as clients ask for it, such as "
            "http://127.0.0.1:8000/api/v1/things, with what is not ASCII percent-encoded"
        )
        raise typer.BadParameter(reason, param_hint="--url")
    return url
