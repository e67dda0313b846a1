"""`tidegate keys`: make, list and revoke API keys, straight in the store.

Running gateways hear of a change from the store itself, within a second.
"""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    data_directory,
    load_config,
    opened_store,
    read_settings,
)
from tidegate.cli.output import RICH_HELP, print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tidegate.config import Config
    from tidegate.identity import CreatedKey, Repository, StoredKey

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=RICH_HELP, help="Make, list and revoke API keys."
)

TenantOption = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose key.")]
NameOption = Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="The key's name.")]


@app.command("create")
def create(
    tenant: TenantOption,
    name: NameOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown once and stored as a hash.

    Examples:

      tidegate keys create --tenant acme --name ci

      KEY=$(tidegate keys create -t acme -n ci --json | jq -r .key)
    """

    async def run(repository: "Repository") -> "CreatedKey":
        return await repository.create_key(tenant, name)

    loaded, created = _with_repository(config, data_dir, run)
    if as_json:
        print_json({"key": created.key, **_members(created.stored), "durable": created.durable})
        return
    print_line(f"Key {name} of {tenant} ({created.stored.key_id}), shown this once:")
    print_line(f"  {created.key}")
    print_line(f'  curl -H "X-API-Key: {created.key}" {_example_url(loaded)}')
    if not created.durable:
        print_line("The store cannot confirm that the key is on disk: `tidegate doctor` says why.")


@app.command("list")
def list_keys(
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Only this tenant's.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys of the file and of the store; never the keys themselves.

    Examples:

      tidegate keys list

      tidegate keys list --tenant acme --json
    """

    async def run(repository: "Repository") -> "list[StoredKey]":
        found: list[StoredKey] = []
        after: str | None = ""
        while after is not None:
            page = await repository.list_keys(tenant=tenant, after=after)
            found.extend(page.items)
            after = page.next_after
        return found

    _, keys = _with_repository(config, data_dir, run)
    if as_json:
        print_json([_members(key) for key in keys])
        return
    rows = [(key.tenant, key.name, key.key_id, key.origin, _when(key.created_at)) for key in keys]
    print_table(("TENANT", "NAME", "ID", "ORIGIN", "CREATED"), rows)


@app.command("revoke")
def revoke(
    tenant: TenantOption,
    name: NameOption,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key that was made by command or API. All gateways refuse it within a second.

    Examples:

      tidegate keys revoke --tenant acme --name ci
    """
    _, revoked = _with_repository(
        config, data_dir, lambda repository: repository.revoke_named_key(tenant, name)
    )
    if as_json:
        print_json({**_members(revoked.stored), "durable": revoked.durable})
        return
    print_line(f"Revoked key {name} of {tenant} ({revoked.stored.key_id}).")


def _with_repository(
    config: Path | None,
    data_dir: Path | None,
    act: "Callable[[Repository], Awaitable[Any]]",
) -> "tuple[Config, Any]":
    from tidegate.identity import Repository

    settings = read_settings()
    loaded = load_config(config, settings)

    async def run() -> Any:
        async with opened_store(loaded, data_directory(data_dir, settings)) as store:
            return await act(Repository(loaded, store))

    return loaded, asyncio.run(run())


def _members(key: "StoredKey") -> dict[str, Any]:
    return {
        "id": key.key_id,
        "tenant": key.tenant,
        "name": key.name,
        "origin": key.origin,
        "created_at": key.created_at,
    }


def _when(created_at_s: int | None) -> str:
    if created_at_s is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(created_at_s))


def _example_url(config: "Config") -> str:
    """A URL that the new key opens, if a route tells its path."""
    route = next(
        (route for service in config.services for route in service.routes if route.auth), None
    )
    path = next(iter((*route.exact_paths, *route.paths)), "/") if route else "/"
    return f"http://{config.listen.host}:{config.listen.port}{path}"
