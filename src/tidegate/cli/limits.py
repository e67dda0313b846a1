"""`tidegate limits`: forget what was spent."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    data_directory,
    load_config,
    opened_store,
    read_settings,
)
from tidegate.cli.output import RICH_HELP, print_json, print_line

if TYPE_CHECKING:
    from tidegate.identity import Repository

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=RICH_HELP, help="Forget what tenants have spent."
)


@app.callback()
def limits() -> None:
    """Forget what tenants have spent."""


@app.command("reset")
def reset(
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose limits.")],
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", metavar="NAME", help="Only what this key has spent alone."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the buckets and quotas of a tenant with all its keys, or of one key.

    Examples:

      tidegate limits reset --tenant acme

      tidegate limits reset --tenant acme --key ci
    """
    from tidegate.identity import Repository
    from tidegate.rate_limiter import Limiter

    settings = read_settings()
    loaded = load_config(config, settings)

    async def run() -> int:
        async with opened_store(loaded, data_directory(data_dir, settings)) as store:
            repository = Repository(loaded, store)
            await repository.tenants.get(tenant)
            ids: list[str | None] = [None]
            if key is not None:
                ids = [*await _key_ids(repository, tenant, key)]
            return sum([await Limiter(store).reset(tenant, key_id) for key_id in ids])

    states = asyncio.run(run())
    if as_json:
        print_json({"tenant": tenant, "key": key, "states": states})
        return
    whose = f"tenant {tenant}" if key is None else f"key {key} of {tenant}"
    print_line(f"Reset the limits of {whose}: {states or 'none'} had been spent from.")


async def _key_ids(repository: "Repository", tenant: str, name: str) -> list[str]:
    """The file and the store may each have a key of this name."""
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await repository.list_keys(tenant=tenant, after=after)
        found.extend(stored.key_id for stored in page.items if stored.name == name)
        after = page.next_after
    if not found:
        raise Failure(f"Tenant {tenant} has no key {name}: see `tidegate keys list`.")
    return found
