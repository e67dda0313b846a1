"""Which limits a caller has on each route, and why: nothing is charged, and no request is needed.

The caller is found by a key that is presented, or by the names of a tenant and one of its keys; a
tenant alone is told what every key has that says nothing of its own.
"""

from dataclasses import asdict, dataclass
from typing import Any

from tidegate.config import Route
from tidegate.config.precedence import OwnLimits
from tidegate.gateway.gateway import Gateway
from tidegate.gateway.limit_rules import Rule, own_limits, rules
from tidegate.http import GatewayError
from tidegate.identity import Caller, ObjectNotFound, PlanMissing, Repository


class UnknownRoute(GatewayError):
    status = 404
    slug = "no-such-route"
    title = "There is no such route"


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """What applies on some routes, the same on each of them."""

    routes: tuple[str, ...]
    is_allowed: bool
    """The plan has these routes."""
    needs_key: bool
    limits: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class LimitsExplained:
    tenant: str
    plan: str
    key: str | None
    """Its name; None: what keys have that say nothing of their own."""
    routes: tuple[RouteLimits, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(told: dict[str, Any]) -> "LimitsExplained":
        """Return what `as_dict` told, also as JSON and by a gateway of another version."""
        routes = tuple(
            RouteLimits(
                tuple(one["routes"]),
                one["is_allowed"],
                one["needs_key"],
                tuple(map(Rule.from_dict, one["limits"])),
            )
            for one in told["routes"]
        )
        return LimitsExplained(told["tenant"], told["plan"], told["key"], routes)


async def limits_of_key(gateway: Gateway, key: str, route: str | None = None) -> LimitsExplained:
    """Raises Unauthorized for what is no key, and UnknownRoute."""
    caller = await gateway.parts.resolver.resolve(key.encode("utf-8"))
    return _explained(gateway, caller, route)


async def limits_of_tenant(
    gateway: Gateway, tenant: str, key_name: str | None = None, route: str | None = None
) -> LimitsExplained:
    """Raises ObjectNotFound for tenant and key, PlanMissing, and UnknownRoute."""
    repository = Repository(gateway.config, gateway.store)
    found = await repository.tenants.get(tenant)
    try:
        plan = await repository.plans.get(found.plan)
    except ObjectNotFound:
        raise PlanMissing(
            f"Tenant {tenant} is on plan {found.plan}, which does not exist"
        ) from None
    key = None if key_name is None else await repository.key_named(tenant, key_name)
    own = OwnLimits(plan.limits, plan.routes, found.limits, () if key is None else key.limits)
    caller = Caller.of(tenant, plan.name, "", key_name or "", own, plan.allow)
    return _explained(gateway, caller, route)


def _explained(gateway: Gateway, caller: Caller, route: str | None) -> LimitsExplained:
    config = gateway.config
    routes = [one for service in config.services for one in service.routes]
    asked = [one for one in routes if route in (None, one.name)]
    if not asked:
        named = ", ".join(one.name for one in routes[:10])
        raise UnknownRoute(f"There is no route {route}: the routes are {named}")
    grouped: dict[tuple[bool, bool, tuple[Rule, ...]], list[str]] = {}
    for one in asked:
        is_open = not one.auth
        told = rules(config, one, *own_limits(None if is_open else caller))
        grouped.setdefault((_is_allowed(caller, one), is_open, told), []).append(one.name)
    found = tuple(
        RouteLimits(tuple(names), is_allowed, not is_open, told)
        for (is_allowed, is_open, told), names in grouped.items()
    )
    return LimitsExplained(caller.tenant, caller.plan, caller.key_name or None, found)


def _is_allowed(caller: Caller, route: Route) -> bool:
    return not route.auth or caller.grants is None or route.name in caller.grants
