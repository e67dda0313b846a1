"""`tidegate keys`: make, list, rotate and revoke API keys.

Running gateways hear of a change from the store itself, within a second.
"""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.inputs import ConfigOption, DataDirOption, JsonOption
from tidegate.cli.operations import Operations, Where, checked, done, keys_named
from tidegate.cli.output import RICH_HELP, print_json, print_line, print_note, print_table, when
from tidegate.cli.tenants import require_tenant

if TYPE_CHECKING:
    from tidegate.identity import CreatedKey, RevokedKey, StoredKey

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=RICH_HELP, help="Make, list, rotate and revoke API keys."
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

      KEY=$(tidegate keys create -t acme -n ci --json | jq -r .key)    # needs jq
    """

    checked("tenant", tenant)
    checked("key", name)

    async def run(operations: Operations) -> "tuple[str, CreatedKey]":
        await require_tenant(operations, tenant)
        path = await operations.path_to_try()
        return path, await operations.create_key(tenant, name)

    where, (path, created) = done(config, data_dir, run)
    _show(where, path, created, as_json)


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

    A key whose tenant has left the file opens nothing, until there is such a tenant again.

    Examples:

      tidegate keys list

      tidegate keys list --tenant acme --json
    """
    if tenant is not None:
        checked("tenant", tenant)

    async def run(operations: Operations) -> "list[StoredKey]":
        found = await operations.keys(tenant)
        # One that has left the file may have left keys.
        if tenant is not None and not found:
            await require_tenant(operations, tenant)
        return found

    _, keys = done(config, data_dir, run)
    if as_json:
        print_json([_members(key) for key in keys])
        return
    rows = [
        (key.tenant, key.name, key.key_id, key.origin, when(key.created_at), _state(key))
        for key in keys
    ]
    print_table(("TENANT", "NAME", "ID", "ORIGIN", "CREATED", "STATE"), rows)


@app.command("rotate")
def rotate(
    tenant: TenantOption,
    name: NameOption,
    overlap: Annotated[
        str,
        typer.Option(
            "--overlap",
            metavar="TIME",
            help="How long the old key still works, such as 1h; 0s: it ends now.",
        ),
    ] = "24h",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key by a new one of the same name and limits. It is shown once.

    Examples:

      tidegate keys rotate --tenant acme --name ci

      tidegate keys rotate --tenant acme --name ci --overlap 0s
    """
    overlap_s = _seconds(overlap)
    checked("tenant", tenant)

    async def run(operations: Operations) -> "tuple[str, CreatedKey]":
        key, *_ = await keys_named(operations, tenant, name)
        path = await operations.path_to_try()
        return path, await operations.rotate_key(key.key_id, overlap_s)

    where, (path, created) = done(config, data_dir, run)
    _show(where, path, created, as_json)
    if not as_json:
        print_line(
            f"The key before it works for another {overlap}."
            if overlap_s
            else "The key before it works no longer."
        )


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
    checked("tenant", tenant)

    async def run(operations: Operations) -> "RevokedKey":
        key, *_ = await keys_named(operations, tenant, name)
        return await operations.revoke_key(key)

    _, revoked = done(config, data_dir, run)
    if as_json:
        print_json({**_members(revoked.stored), "durable": revoked.durable})
        return
    print_line(f"Revoked key {name} of {tenant} ({revoked.stored.key_id}).")


def _show(where: Where, path: str, created: "CreatedKey", as_json: bool) -> None:
    stored = created.stored
    if where.nobody:
        print_note(
            f"{where.nobody}: the key lies in the store ({where.store}), for gateways on it. "
            "One that runs on another directory is named by --data-dir."
        )
    if as_json:
        print_json({"key": created.key, **_members(stored), "durable": created.durable})
        return
    print_line(f"Key {stored.name} of {stored.tenant} ({stored.key_id}), shown this once:")
    print_line(f"  {created.key}")
    if not stored.in_force:
        print_line(f"It {_state(stored)}.")
    elif where.is_served:
        print_line(f'  curl -H "X-API-Key: {created.key}" {where.traffic_url}{path}')
    if not created.durable:
        print_line("The store cannot confirm that the key is on disk: `tidegate doctor` says why.")


def _seconds(text: str) -> int:
    from tidegate.config.units import PERIOD_S, parse_duration_s
    from tidegate.identity.repository import OVERLAP_S_MAX

    try:
        seconds = round(parse_duration_s(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--overlap") from None
    if seconds > OVERLAP_S_MAX:
        reason = f"{text} is too long: at most {OVERLAP_S_MAX // PERIOD_S['day']}d"
        raise typer.BadParameter(reason, param_hint="--overlap")
    return seconds


def _members(key: "StoredKey") -> dict[str, Any]:
    return {
        "id": key.key_id,
        "tenant": key.tenant,
        "name": key.name,
        "origin": key.origin,
        "created_at": key.created_at,
        "older_secrets_end_at": key.older_end_at,
        "in_force": key.in_force,
    }


def _state(key: "StoredKey") -> str:
    if not key.in_force:
        return "opens nothing: there is no such tenant"
    # The store rounds the end up to a whole second.
    if key.older_end_at is not None and key.older_end_at > time.time() + 1:
        return f"in force; secrets before it until {when(key.older_end_at)}"
    return "in force"
