"""`tidegate routes`: what takes which request, through which policies, under which limits.

Compiled as `serve` compiles it, so that what is printed is what runs; nothing is connected.
"""

import asyncio
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
from tidegate.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from tidegate.config import Config, Limit, Plan, Route
    from tidegate.gateway import CompiledRoute


def routes(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Print every route, its policies, its limits.

    Examples:

      tidegate routes

      tidegate routes --config staging.yaml --json
    """
    settings = read_settings()
    configured = loaded(chosen(config, settings, data_dir).path)
    compiled = asyncio.run(_compiled(configured, data_directory(data_dir, settings)))
    plans = {
        name: [_limit_in_words(limit) for limit in plan.limits]
        for name, plan in configured.plans.items()
    }
    if as_json:
        allowed = {
            name: None
            if plan.allow is None
            else [entry.model_dump(mode="json") for entry in plan.allow]
            for name, plan in configured.plans.items()
        }
        routes_told = [_members(route) for route in compiled]
        print_json({"routes": routes_told, "plans": plans, "allow": allowed})
        return
    rows = [
        (
            route.route.name,
            _match_in_words(route.route),
            " > ".join(name for name, _ in route.policies),
            _charge_in_words(route.route),
            ", ".join(route.service.targets),
        )
        for route in compiled
    ]
    print_table(("ROUTE", "MATCH", "POLICIES", "LIMITS", "TARGETS"), rows)
    print_line()
    _print_plans(configured, plans)


def _print_plans(config: "Config", limits: dict[str, list[str]]) -> None:
    rows = [(name, "; ".join(of_plan) or "none") for name, of_plan in limits.items()]
    if all(plan.allow is None for plan in config.plans.values()):
        print_table(("PLAN", "LIMITS"), rows)
        return
    allowed = [_allowed_in_words(config.plans[name]) for name in limits]
    print_table(
        ("PLAN", "LIMITS", "ROUTES"),
        [(*row, routes) for row, routes in zip(rows, allowed, strict=True)],
    )


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


def _members(compiled: "CompiledRoute") -> dict[str, Any]:
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
        "limits": "plan" if route.auth else None,
        "cost": route.cost,
    }


def _match_in_words(route: "Route") -> str:
    """`GET api.example.com /v1/*, /health`: methods, hosts, paths; what is not said is any."""
    paths = [f"{path.rstrip('/')}/*" for path in route.paths] + list(route.exact_paths)
    parts = (
        "|".join(route.methods),
        ", ".join(route.hosts),
        ", ".join(paths) or "/*",
    )
    return " ".join(part for part in parts if part)


def _charge_in_words(route: "Route") -> str:
    if not route.auth:
        return "none"
    return "by plan" if route.cost == 1 else f"by plan, cost {route.cost}"


def _allowed_in_words(plan: "Plan") -> str:
    if plan.allow is None:
        return "all"
    return ", ".join(
        f"{'|'.join(entry.methods)} {entry.route}" if entry.methods else entry.route
        for entry in plan.allow
    )


def _limit_in_words(limit: "Limit") -> str:
    from tidegate.config import TokenBucket

    if isinstance(limit, TokenBucket):
        return f"{limit.name} {limit.rate}, burst {limit.burst}, per {limit.per}"
    return f"{limit.name} {limit.quota}, per {limit.per}"
