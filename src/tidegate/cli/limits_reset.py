"""`tidegate limits reset`: forget what was spent, in a tenant or over all of them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import typer

from tidegate.cli.inputs import ConfigOption, DataDirOption, JsonOption
from tidegate.cli.operations import Operations, checked, done, keys_named
from tidegate.cli.output import print_json, print_line
from tidegate.cli.tenants import require_tenant


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """What is counted over all tenants `per` address, route, global or header:NAME; `value` is the
    address, the route's name or the header's value."""

    per: str
    value: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """As the admin API takes it."""
        scope, _, header = self.per.partition(":")
        return {scope: header, "value": self.value} if header else {scope: self.value or True}


class _Told(NamedTuple):
    """What is said when it is done: in JSON, and whose it was and what is full again."""

    body: dict[str, Any]
    whose: str
    what: str


Act = Callable[[Operations], Awaitable[int]]


def reset(
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", "-t", metavar="TENANT", help="A tenant's, and its keys'."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            "-n",
            "--key",
            "-k",
            metavar="NAME",
            help="With --tenant: only what its key of this name spends alone.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="ADDRESS", help="A client's over all tenants. IPv6: its /64."
        ),
    ] = None,
    route: Annotated[
        str | None,
        typer.Option("--route", "-r", metavar="ROUTE", help="What all requests on a route share."),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--global", help="What all requests share, or all on a plan.")
    ] = False,
    header: Annotated[
        str | None,
        typer.Option(
            "--header", "-H", metavar="'NAME: VALUE'", help="A value's, on routes without keys."
        ),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill buckets and quotas: of a tenant or one of its keys, or what is counted over all tenants.

    Examples:

      tidegate limits reset --tenant acme

      tidegate limits reset --tenant acme --name ci

      tidegate limits reset --address 203.0.113.9

      tidegate limits reset --route search

      tidegate limits reset --global
    """
    if name is not None and tenant is None:
        reason = "a key is its tenant's: say --tenant TENANT beside the key's name"
        raise typer.BadParameter(reason, param_hint="--name")
    if [tenant, address, route, everybody or None, header].count(None) != 4:
        raise typer.BadParameter("it is one of --tenant, --address, --route, --global and --header")
    if tenant is not None:
        act, told = _in_tenant(tenant, name)
    else:
        act, told = _over_all_tenants(address, route, header)
    _, states = done(config, data_dir, act)
    if as_json:
        print_json({**told.body, "states": states})
    elif states:
        print_line(f"Reset the limits of {told.whose}: {told.what} full again.")
    else:
        print_line(f"The limits of {told.whose} are full already.")


def _in_tenant(tenant: str, key: str | None) -> tuple[Act, _Told]:
    checked("tenant", tenant)

    async def act(operations: Operations) -> int:
        if key is None:
            await require_tenant(operations, tenant)
            return await operations.reset_limits(tenant, None)
        named = await keys_named(operations, tenant, key)
        return sum([await operations.reset_limits(tenant, one.key_id) for one in named])

    told = {"tenant": tenant, "key": key}
    if key is None:
        return act, _Told(told, f"tenant {tenant}", "all buckets and quotas are")
    return act, _Told(told, f"key {key} of {tenant}", "what it spends from alone is")


def _over_all_tenants(
    address: str | None, route: str | None, header: str | None
) -> tuple[Act, _Told]:
    """What is told has no header's value, which may be a secret."""
    body: dict[str, Any]
    if address is not None:
        counted = _counted(address)
        shared, body = SharedLimits("address", address), {"address": counted}
        whose, what = f"address {counted}", "what it spends from over all tenants is"
    elif route is not None:
        shared, body = SharedLimits("route", checked("route", route)), {"route": route}
        whose, what = f"route {route}", "what all requests on it spend from together is"
    elif header is not None:
        name, value = _named(header)
        shared, body = SharedLimits(f"header:{name}", value), {"header": name}
        whose, what = f"that value of {name}", "what it spends from without a key is"
    else:
        shared, body = SharedLimits("global"), {"global": True}
        whose, what = "everybody", "what all requests spend from together is"

    async def act(operations: Operations) -> int:
        return await operations.reset_shared_limits(shared)

    return act, _Told(body, whose, what)


def _counted(address: str) -> str:
    from tidegate.policies.client_address import counted_as

    try:
        return counted_as(address).decode()
    except ValueError as error:
        raise typer.BadParameter(f"{address} is none: {error}", param_hint="--address") from None


def _named(header: str) -> tuple[str, str]:
    from tidegate.gateway.limit_resets import HEADER_NAME_PATTERN

    name, _, value = (part.strip() for part in header.partition(":"))
    if re.fullmatch(HEADER_NAME_PATTERN, name) is None or not value or not _is_text(value):
        raise typer.BadParameter(
            "write 'NAME: VALUE', such as 'X-User: ada'", param_hint="--header"
        )
    return name, value


def _is_text(argument: str) -> bool:
    """Not where it has bytes that are no UTF-8."""
    return argument.encode("utf-8", "replace").decode() == argument
