"""A plan's routes as the API takes and shows them, and its limits on each: the words of the
configuration."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, StringConstraints, TypeAdapter

from tidegate.config import Allowed
from tidegate.config.limits import LimitEntry
from tidegate.control.fields import Body, Name, Shown
from tidegate.control.limit_fields import (
    Limits,
    ShownLimit,
    checked,
    checked_limits,
    shown_limits,
)

ALLOWED_MAX: Final = 256
METHODS_MAX: Final = 32
_ALLOW: Final[TypeAdapter[tuple[Allowed, ...]]] = TypeAdapter(tuple[Allowed, ...])

MethodText = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9!#$%&'*+.^_`|~-]{1,32}$")]


class AllowedBody(Body):
    """A route that the plan has, with the methods named (GET brings HEAD) or all of them."""

    route: Name
    methods: Annotated[list[MethodText], Field(min_length=1, max_length=METHODS_MAX)] | None = None


PlanRoutes = Annotated[list[AllowedBody], Field(min_length=1, max_length=ALLOWED_MAX)]


class PlanRouteBody(Body):
    limits: Limits
    """In place of those of the same name, and counted apart for this route."""


LimitsByRoute = Annotated[dict[Name, PlanRouteBody], Field(max_length=ALLOWED_MAX)]


class ShownAllowed(Shown):
    route: str
    methods: list[str]
    """Empty: every method."""


class ShownPlanRoute(Shown):
    limits: list[ShownLimit]


def checked_routes(allow: list[AllowedBody] | None) -> tuple[Allowed, ...] | None:
    """Return `allow` as a plan of the file has it. Raises InvalidRequest."""
    if allow is None:
        return None
    return checked(_ALLOW, "allow", (entry.model_dump(exclude_none=True) for entry in allow))


def checked_limits_by_route(
    routes: Mapping[str, PlanRouteBody],
) -> dict[str, tuple[LimitEntry, ...]]:
    """Return what a plan says of single routes. Raises InvalidRequest."""
    return {
        name: checked_limits(said.limits, f"routes.{name}.limits") for name, said in routes.items()
    }


def shown_routes(allow: tuple[Allowed, ...] | None) -> list[ShownAllowed] | None:
    if allow is None:
        return None
    return [ShownAllowed(route=entry.route, methods=list(entry.methods)) for entry in allow]


def shown_limits_by_route(
    routes: Mapping[str, tuple[LimitEntry, ...]],
) -> dict[str, ShownPlanRoute]:
    return {name: ShownPlanRoute(limits=shown_limits(limits)) for name, limits in routes.items()}
