"""Routes as they were compiled: what each takes, through which policies, to where. Read only.

Texts are shown as they are written: what a reference (`${VAR}`) brings may be a secret.
"""

from typing import Any

from fastapi import APIRouter

from tidegate.config.costs import as_told
from tidegate.control.fields import NameInPath, Origin, Shown
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.gateway import CompiledRoute
from tidegate.identity import ObjectNotFound

router = APIRouter(prefix="/v1/routes", tags=["routes"])


class ShownRoute(Shown):
    """Texts are as the file has them: `${UPSTREAM_URL}`, not what it brings."""

    name: str
    service: str
    origin: Origin
    defined_in: str
    targets: list[str]
    hosts: list[str]
    """Empty: every host."""
    paths: list[str]
    """Prefixes on segment boundaries. With no exact path either: every path."""
    exact_paths: list[str]
    methods: list[str]
    """Empty: every method."""
    auth: list[str]
    """Empty: none."""
    strip_prefix: bool
    cost: int | dict[str, Any]
    policies: list[str]
    """The chain that a request goes through, outermost first."""


class ShownRoutes(Shown):
    items: list[ShownRoute]


@router.get("")
async def list_routes(parts: PartsNeeded) -> ShownRoutes:
    """List every route, in the order of the configuration."""
    return ShownRoutes(items=[_shown(parts, one) for one in parts.gateway.snapshot.routes])


@router.get("/{route}", responses={404: {}})
async def get_route(route: NameInPath, parts: PartsNeeded) -> ShownRoute:
    """Show one route."""
    for compiled in parts.gateway.snapshot.routes:
        if compiled.route.name == route:
            return _shown(parts, compiled)
    raise ObjectNotFound(f"There is no route {route}")


def _shown(parts: Parts, compiled: CompiledRoute) -> ShownRoute:
    route = compiled.route
    return ShownRoute(
        name=route.name,
        service=compiled.service.name,
        origin="file",
        defined_in=parts.gateway.config.places.of("route", route.name),
        targets=list(compiled.service.as_written("targets")),
        hosts=list(route.as_written("hosts")),
        paths=list(route.as_written("paths")),
        exact_paths=list(route.as_written("exact_paths")),
        methods=list(route.as_written("methods")),
        auth=list(route.auth),
        strip_prefix=route.strip_prefix,
        cost=as_told(route.cost),
        policies=[name for name, _ in compiled.policies],
    )
