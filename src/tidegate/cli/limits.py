"""`tidegate limits`: which apply and why; forget what was spent; try others on what was decided."""

from typing import Annotated

import typer

from tidegate.cli.inputs import ConfigOption, DataDirOption, JsonOption
from tidegate.cli.limits_explain import explain
from tidegate.cli.limits_replay import replay
from tidegate.cli.operations import Operations, checked, done, keys_named
from tidegate.cli.output import RICH_HELP, print_json, print_line
from tidegate.cli.tenants import require_tenant

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=RICH_HELP,
    help="Say which limits apply and why, forget what was spent, try other limits.",
)


@app.callback()
def limits() -> None:
    """Say which limits apply and why, forget what was spent, try other limits."""


app.command("explain")(explain)
app.command("replay")(replay)


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
    checked("tenant", tenant)

    async def run(operations: Operations) -> int:
        if key is None:
            await require_tenant(operations, tenant)
            return await operations.reset_limits(tenant, None)
        named = await keys_named(operations, tenant, key)
        return sum([await operations.reset_limits(tenant, one.key_id) for one in named])

    _, states = done(config, data_dir, run)
    if as_json:
        print_json({"tenant": tenant, "key": key, "states": states})
        return
    whose, what = f"tenant {tenant}", "all buckets and quotas are"
    if key is not None:
        whose, what = f"key {key} of {tenant}", "what it spends from alone is"
    if states:
        print_line(f"Reset the limits of {whose}: {what} full again.")
    else:
        print_line(f"The limits of {whose} are full already.")
