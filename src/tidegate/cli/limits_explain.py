"""`tidegate limits explain`: which limits apply to whom, and why; asked of the gateway that runs,
or of the configuration and the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.inputs import ConfigOption, DataDirOption, JsonOption
from tidegate.cli.operations import Operations, checked, done
from tidegate.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from tidegate.gateway import LimitsExplained
    from tidegate.gateway.limit_rules import Rule
    from tidegate.gateway.limits_explained import RouteLimits


@dataclass(frozen=True, slots=True)
class WhoseLimits:
    """`key` is the key itself; `tenant` and `name` say whose it is without it."""

    key: str | None
    tenant: str
    name: str | None
    route: str | None


def explain(
    key: Annotated[
        str | None, typer.Option("--key", "-k", metavar="KEY", help="The API key itself.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose limits.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="NAME", help="Which of the tenant's keys."),
    ] = None,
    route: Annotated[
        str | None, typer.Option("--route", "-r", metavar="ROUTE", help="Only on this route.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which limits apply to a key on each route, who said them where, and in place of what.

    Of the limits of one name the one that was said highest holds: for a key, before for a tenant,
    by a plan on a route, by a plan, on a route, for everybody.

    Examples:

      tidegate limits explain --key premium_user

      tidegate limits explain --tenant acme --name ci --route search --json
    """
    if key is None and tenant is None and name is None:
        raise typer.BadParameter(
            "say whose limits: --key KEY, or --tenant TENANT --name NAME for one of a tenant's "
            "keys, or --tenant TENANT for what its keys have that say nothing of their own; and "
            "--route ROUTE for one route alone"
        )
    if key is not None and tenant is not None:
        raise typer.BadParameter("say whose limits: by --key alone, or by --tenant and --name")
    if name is not None and tenant is None:
        raise typer.BadParameter("a key is its tenant's: say --tenant", param_hint="--name")
    if key == "":
        raise typer.BadParameter("the key is empty", param_hint="--key")
    for kind, given in (("tenant", tenant), ("key", name), ("route", route)):
        if given is not None:
            checked(kind, given)
    whose = WhoseLimits(key, tenant or "", name, route)

    async def run(operations: Operations) -> "LimitsExplained":
        return await operations.explain_limits(whose)

    _, told = done(config, data_dir, run)
    if as_json:
        print_json(told.as_dict())
    else:
        _print(told)


def _print(told: "LimitsExplained") -> None:
    which = "any key that has no limits of its own" if told.key is None else f"key {told.key}"
    print_line(f"Tenant {told.tenant}, plan {told.plan}, {which}")
    for one in told.routes:
        print_line()
        print_line(f"{_heading(one)}:")
        if not one.limits:
            print_line("  no limits")
            continue
        _print_rules(one.limits)


def _print_rules(rules: "tuple[Rule, ...]") -> None:
    """A table of what holds, then a line for each that stands in the place of another."""
    print_table(
        ("LIMIT", "ALLOWS", "COUNTS", "SAID BY", "WHERE"),
        [
            (
                rule.name,
                rule.holds.allows if rule.applies or not rule.per else f"nothing: {rule.idle}",
                rule.counts or "-",
                rule.holds.by,
                rule.holds.place,
            )
            for rule in rules
        ],
    )
    print_replaced(rules)


def print_replaced(rules: "Sequence[Rule]") -> None:
    """A line for each that stands in the place of another, or takes it away."""
    for rule in rules:
        lower = "; ".join(f"{one.allows} of {one.by} ({one.place})" for one in rule.replaced)
        if lower and rule.per:
            print_line(f"  {rule.name} stands in place of {lower}: {rule.why}")
        elif lower:
            by = f"{rule.holds.by} ({rule.holds.place})"
            print_line(f"  {rule.name} is taken away by {by}: {lower}")


def _heading(one: "RouteLimits") -> str:
    routes = ", ".join(one.routes)
    where = f"On route {routes}" if len(one.routes) == 1 else f"On routes {routes}"
    if not one.needs_key:
        return f"{where}, which needs no key" if len(one.routes) == 1 else f"{where}, without keys"
    return where if one.is_allowed else f"{where}, which the plan does not allow"
