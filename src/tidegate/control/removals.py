"""A removal that takes nothing away is a slip, told when it is written, as the file's null is.

What it takes away may go later: then it stands idle, and nothing is refused.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from tidegate.config.limits import LimitEntry, NoLimit
from tidegate.config.problems import did_you_mean
from tidegate.control.errors import InvalidRequest
from tidegate.control.parts import Parts
from tidegate.identity import ObjectNotFound

Limits = tuple[LimitEntry, ...]


def check_plan(parts: Parts, limits: Limits, routes: Mapping[str, Limits]) -> None:
    """Raise InvalidRequest where a plan takes away what nobody says below it."""
    lower = _of_the_file(parts)
    _check(limits, lower, "limits")
    for route, own in routes.items():
        _check(own, lower | _names(limits), f"routes.{route}.limits")


async def check_tenant(parts: Parts, plan: str, limits: Limits) -> None:
    """Raise InvalidRequest where a tenant takes away what nobody says below it."""
    if _removes(limits):
        _check(limits, _of_the_file(parts) | await _of_plan(parts, plan), "limits")


async def check_key(parts: Parts, tenant: str, limits: Limits) -> None:
    """Raise InvalidRequest where a key takes away what nobody says below it."""
    if not _removes(limits):
        return
    with suppress(ObjectNotFound):  # told by who writes the key
        its = await parts.repository.tenants.get(tenant)
        lower = _of_the_file(parts) | await _of_plan(parts, its.plan) | _names(its.limits)
        _check(limits, lower, "limits")


def _check(limits: Limits, lower: set[str], field: str) -> None:
    for index, limit in enumerate(limits):
        if isinstance(limit, NoLimit) and limit.name not in lower:
            place = f"body.{field}.{index}.removes"
            message = f'nobody says a limit "{limit.name}" below this'
            message += did_you_mean(limit.name, sorted(lower)) or ": there is none to take away"
            errors = [{"in": place, "message": message}]
            raise InvalidRequest(f"{place}: {message}", members={"errors": errors})


def _removes(limits: Limits) -> bool:
    return any(isinstance(limit, NoLimit) for limit in limits)


def _of_the_file(parts: Parts) -> set[str]:
    """Return the names that are said for everybody or on a route."""
    config = parts.gateway.config
    routes = (route for service in config.services for route in service.routes)
    return _names(config.limits).union(*(_names(route.limits) for route in routes))


async def _of_plan(parts: Parts, name: str) -> set[str]:
    with suppress(ObjectNotFound):  # told by who writes the tenant
        plan = await parts.repository.plans.get(name)
        return _names(plan.limits).union(*map(_names, plan.routes.values()))
    return set()


def _names(limits: Iterable[LimitEntry]) -> set[str]:
    return {limit.name for limit in limits if not isinstance(limit, NoLimit)}
