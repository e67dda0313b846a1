"""`tidegate explain`: what would become of a request, asked of the gateway that runs, or of the
configuration and the store."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.failure import explained
from tidegate.cli.inputs import ConfigOption, DataDirOption, JsonOption
from tidegate.cli.limits_explain import print_replaced
from tidegate.cli.operations import Operations, Where, done_there
from tidegate.cli.output import print_json, print_line, print_table, when
from tidegate.cli.urls import host_of

if TYPE_CHECKING:
    from tidegate.gateway import Explanation
    from tidegate.gateway.explain import ExplainedLimit


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """The request that shall be explained."""

    method: str
    target: str
    host: str
    key: str | None = None
    client: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, ...")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="With its query, or a whole URL.")],
    key: Annotated[
        str | None, typer.Option("--key", "-k", metavar="KEY", help="The API key to present.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="HOST",
            help="The Host of the request. Default: where the gateway listens, as 127.0.0.1:8000.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--from", metavar="ADDRESS", help="The client's address. Default: 127.0.0.1."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header of the request."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what would become of a request, and why.

    Nothing is sent on and nothing is charged: the route, the policies, the caller, what is left of
    each limit, the targets, and the latest decisions that were recorded.

    Examples:

      tidegate explain GET /api/v1/test --key premium_user

      tidegate explain POST /api/v1/orders --host api.example.com --json

      tidegate explain GET / --from 203.0.113.7 --header 'X-User: ada'
    """
    from tidegate.http import GatewayError
    from tidegate.policies import PolicyNotLoaded
    from tidegate.upstream import TargetNotLoaded

    if not path.startswith(("/", "http://", "https://")) and path != "*":
        raise typer.BadParameter("a path begins with /", param_hint="PATH")
    if key == "":
        raise typer.BadParameter("the key is empty", param_hint="--key")
    method, path = _as_text(method), _as_text(path)
    key = key and _as_text(key)
    headers = dict(map(_named, header or ()))
    if address is not None and not _is_address(address):
        raise typer.BadParameter(f"{address} is no IP address", param_hint="--from")

    async def run(operations: Operations, where: Where) -> "Explanation":
        asked_host = _as_text(host_of(where.traffic_url) if host is None else host)
        asked = AskedRequest(method, path, asked_host, key, address, headers)
        return await operations.explain(asked)

    with explained(PolicyNotLoaded, TargetNotLoaded, GatewayError):
        _, explanation = done_there(config, data_dir, run)
    if as_json:
        print_json(explanation.as_dict())
    else:
        _print(explanation)


def _named(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip() or not value.strip():
        raise typer.BadParameter(f"{header}: write 'NAME: VALUE'", param_hint="--header")
    return _as_text(name.strip()), _as_text(value.strip())


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _as_text(argument: str) -> str:
    """Return it with U+FFFD for bytes that are no UTF-8: as little allowed in a request as they
    are, and the admin API can be asked for it and a terminal show it."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _no_route(told: "Explanation") -> str:
    if not told.hosts:
        return "none"
    return f"none for Host {told.host}, but for {', '.join(told.hosts)} (see --host)"


def _cost(told: "Explanation") -> str:
    if told.cost is None:
        return "none"
    reserved = (f"{count} {unit}" for unit, count in told.costs.items())
    return ", ".join((str(told.cost), *reserved))


def _refuses(limit: "ExplainedLimit") -> str:
    if limit.shadow:
        return "would, in shadow" if limit.refuses else "no, in shadow"
    return "yes" if limit.refuses else "no, but near" if limit.near else "no"


def _recorded(record: dict[str, Any]) -> str:
    shadows = record.get("would_refuse")
    return f"{record['verdict']}, in shadow {', '.join(shadows)}" if shadows else record["verdict"]


def _print(told: "Explanation") -> None:
    verdict = told.verdict if told.status is None else f"{told.verdict}, {told.status}"
    if verdict == "answered":
        verdict += " from the cache" if told.cache.startswith("hit") else " by the gateway itself"
    caller = told.caller
    rows = [
        ("Request", f"{told.method} {told.host}{told.path}"),
        ("Verdict", verdict if told.reason is None else f"{verdict}: {told.reason}"),
        ("Route", f"{told.route} (service {told.service})" if told.route else _no_route(told)),
        ("Chain", " > ".join(told.chain) or "none"),
        (
            "Caller",
            f"{caller.key_name} ({caller.key_id}) of {caller.tenant}, plan {caller.plan}"
            if caller is not None
            else "nobody",
        ),
        ("Cost", _cost(told)),
        ("Cache", told.cache),
        ("Targets", ", ".join(told.targets) or "none"),
        ("Took", ", ".join(f"{name} {ms:g} ms" for name, ms in told.timings_ms.items())),
    ]
    for name, text in rows:
        print_line(f"{name + ':':<9}{text}")
    if told.limits:
        said = {rule.name: f"{rule.holds.by}, {rule.holds.place}" for rule in told.rules}
        print_line()
        print_table(
            ("LIMIT", "LEFT", "OF", "MORE IN", "REFUSES", "SAID BY"),
            [
                (
                    limit.name,
                    str(limit.remaining),
                    str(limit.capacity),
                    f"{limit.reset_s} s",
                    _refuses(limit),
                    said.get(limit.name, "-"),
                )
                for limit in told.limits
            ],
        )
    print_replaced(told.rules)
    if told.recent:
        print_line()
        print_table(
            ("RECORDED", "STATUS", "VERDICT", "SOURCE"),
            [(when(r["time"]), str(r["status"]), _recorded(r), r["source"]) for r in told.recent],
        )
