"""`tidegate routes`: what takes which request, through which policies, under which limits.

Beside a gateway that runs its admin API tells what is in force. Otherwise the file is compiled as
`serve` compiles it, so that what is printed is what would run; nothing is connected.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.cli.failure import explained
from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    chosen,
    data_directory,
    loaded,
    read_settings,
)
from tidegate.cli.operations import admin_client
from tidegate.cli.output import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from tidegate.cli.admin_client import AdminClient
    from tidegate.config import Config
    from tidegate.config.limits import LimitEntry
    from tidegate.gateway import CompiledRoute


@dataclass(frozen=True, slots=True)
class Told:
    """In the words of the admin API, whoever tells it."""

    routes: list[dict[str, Any]]
    plans: list[dict[str, Any]]


def routes(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Print every route, its policies, its limits.

    Beside a gateway that runs, those that are in force, with references as they are written.

    Examples:

      tidegate routes

      tidegate routes --config staging.yaml --json
    """
    settings = read_settings()
    found = chosen(config, settings, data_dir)
    place = data_directory(data_dir, settings)
    client = admin_client(found, place, settings)
    told = None if client is None else asyncio.run(_in_force(client))
    if told is None:
        told = asyncio.run(_of_the_file(loaded(found.path), place))
        if found.running is not None:
            print_note(
                f"These are the file's: the gateway that runs (pid {found.running.pid}) cannot be "
                "asked, and may have loaded the file before it was changed."
            )
    if as_json:
        print_json(_members(told))
    else:
        _print(told)


async def _in_force(client: "AdminClient") -> Told | None:
    """Return what the gateway that runs has compiled; None if it cannot be asked."""
    from tidegate.cli.admin_client import AdminUnreachable

    try:
        async with client:
            return Told(await client.routes(), await client.plans())
    except AdminUnreachable:
        return None


async def _of_the_file(config: "Config", data_dir: Path) -> Told:
    compiled = await _compiled(config, data_dir)
    plans = [
        {
            "name": name,
            "limits": [_limit(limit) for limit in plan.limits],
            "allow": None
            if plan.allow is None
            else [entry.model_dump(mode="json") for entry in plan.allow],
        }
        for name, plan in config.plans.items()
    ]
    return Told([_route(one) for one in compiled], plans)


async def _compiled(config: "Config", data_dir: Path) -> "tuple[CompiledRoute, ...]":
    from tidegate.gateway import Gateway
    from tidegate.policies import PolicyNotLoaded
    from tidegate.store import Store
    from tidegate.store.address import unix_address
    from tidegate.upstream import TargetNotLoaded

    unconnected = Store(unix_address(data_dir), config.redis.timeout, None)
    gateway = Gateway(config, data_dir=data_dir, store=unconnected, starts_apps=False)
    with explained(PolicyNotLoaded, TargetNotLoaded):
        async with gateway:
            return gateway.snapshot.routes


def _route(compiled: "CompiledRoute") -> dict[str, Any]:
    from tidegate.config.costs import as_told

    route = compiled.route
    return {
        "name": route.name,
        "service": compiled.service.name,
        "targets": list(compiled.service.targets),
        "hosts": list(route.hosts),
        "paths": list(route.paths),
        "exact_paths": list(route.exact_paths),
        "methods": list(route.methods),
        "auth": list(route.auth),
        "policies": [name for name, _ in compiled.policies],
        "cost": as_told(route.cost),
    }


def _limit(limit: "LimitEntry") -> dict[str, Any]:
    from tidegate.config.limits import NoLimit, as_written

    if isinstance(limit, NoLimit):
        return {"name": limit.name, "removes": True}
    return {"per": limit.per, "burst": getattr(limit, "burst", None), **as_written(limit)}


def _members(told: Told) -> dict[str, Any]:
    names = (
        *("name", "service", "targets", "hosts", "paths", "exact_paths", "methods", "auth"),
        *("policies", "cost"),
    )
    return {
        "routes": [
            {name: route[name] for name in names} | {"limits": _limited_by(route)}
            for route in told.routes
        ],
        "plans": {plan["name"]: _limits_in_words(plan) for plan in told.plans},
        "allow": {plan["name"]: plan["allow"] for plan in told.plans},
    }


def _print(told: Told) -> None:
    rows = [
        (
            route["name"],
            _match_in_words(route),
            " > ".join(route["policies"]),
            _charge_in_words(route),
            ", ".join(route["targets"]),
        )
        for route in told.routes
    ]
    print_table(("ROUTE", "MATCH", "POLICIES", "LIMITS", "TARGETS"), rows)
    print_line()
    plans = [(plan["name"], "; ".join(_limits_in_words(plan)) or "none") for plan in told.plans]
    if all(plan["allow"] is None for plan in told.plans):
        print_table(("PLAN", "LIMITS"), plans)
        return
    allowed = [_allowed_in_words(plan["allow"]) for plan in told.plans]
    print_table(
        ("PLAN", "LIMITS", "ROUTES"),
        [(*row, routes) for row, routes in zip(plans, allowed, strict=True)],
    )


def _match_in_words(route: dict[str, Any]) -> str:
    """`GET api.example.com /v1/*, /health`: methods, hosts, paths; what is not said is any."""
    paths = [f"{path.rstrip('/')}/*" for path in route["paths"]] + route["exact_paths"]
    parts = (
        "|".join(route["methods"]),
        ", ".join(route["hosts"]),
        ", ".join(paths) or "/*",
    )
    return " ".join(part for part in parts if part)


def _limited_by(route: dict[str, Any]) -> str | None:
    """`own`: nobody has a plan there, but what is said for the route or for everybody holds."""
    if route["auth"]:
        return "plan"
    return "own" if "limit" in route["policies"] else None


def _charge_in_words(route: dict[str, Any]) -> str:
    limited_by = _limited_by(route)
    if limited_by is None:
        return "none"
    words = "by plan" if limited_by == "plan" else "its own"
    return words if route["cost"] == 1 else f"{words}, cost {route['cost']}"


def _allowed_in_words(allow: list[dict[str, Any]] | None) -> str:
    if allow is None:
        return "all"
    return ", ".join(
        f"{'|'.join(entry['methods'])} {entry['route']}" if entry["methods"] else entry["route"]
        for entry in allow
    )


def _limits_in_words(plan: dict[str, Any]) -> list[str]:
    return [_limit_in_words(limit) for limit in plan["limits"]]


def _limit_in_words(limit: dict[str, Any]) -> str:
    name, rate = limit["name"], limit.get("rate")
    if limit.get("removes"):
        return f"{name} taken away"
    if rate is None:
        quota, parallel = limit.get("quota"), limit.get("concurrency")
        words = f"{name} {quota}" if quota is not None else f"{name} {parallel} at a time"
    elif limit.get("algorithm") == "sliding-window":
        words = f"{name} {rate}, sliding"
    else:
        words = f"{name} {rate}, burst {limit['burst']}"
    return f"{words}, per {limit['per']}"
