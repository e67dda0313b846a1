"""Which limits a key or a tenant has and why, what is left of them, and how to fill them again.

Asking runs the very script that decides about requests, at a cost of nothing.
"""

from fastapi import APIRouter

from tidegate.config.precedence import OwnLimits
from tidegate.control.errors import InvalidRequest
from tidegate.control.fields import Body, KeyIdInPath, Name, NameInPath, Secret, Shown
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.gateway import limits_of_key, limits_of_tenant
from tidegate.gateway.limits_left import Left, limits_left
from tidegate.identity import Caller, ObjectNotFound, PlanMissing, StoredKey, Tenant

router = APIRouter(prefix="/v1", tags=["limits"])


class ShownLimitState(Shown):
    name: str
    per: str
    route: str | None
    """Where it counts apart for a route, that route; null: on all where it applies."""
    limit: int
    """The burst, the quota, or how many at a time."""
    remaining: int
    reset_s: int
    """Seconds until more is available; 0: nothing has been spent."""


class ShownLimits(Shown):
    tenant: str
    key_id: str | None
    plan: str
    limits: list[ShownLimitState]


class ResetLimits(Shown):
    tenant: str
    key_id: str | None
    states: int
    """How many states were forgotten: 0 where nothing had been spent."""


class WhoseLimitsBody(Body):
    """A key, or a tenant with or without the name of one of its keys."""

    key: Secret | None = None
    """The key itself. It is in no log and no answer."""
    tenant: Name | None = None
    name: Name | None = None
    route: Name | None = None
    """Left out: every route."""


class ShownSaying(Shown):
    allows: str
    level: str
    by: str
    place: str


class ShownRule(Shown):
    name: str
    applies: bool
    """Not where it is taken away, or cannot count: `idle` tells."""
    per: str
    counts: str
    """Who shares one count."""
    holds: ShownSaying
    replaced: list[ShownSaying]
    """What it stands in the place of, the nearest first."""
    why: str
    """Why this one of all that are said under the name."""
    idle: str
    """Why it limits nothing here; empty where it does."""


class ShownRouteLimits(Shown):
    routes: list[str]
    is_allowed: bool
    needs_key: bool
    limits: list[ShownRule]


class ShownLimitsExplained(Shown):
    tenant: str
    plan: str
    key: str | None
    routes: list[ShownRouteLimits]
    """Those on which the same applies, together."""


@router.post("/limits/explain", responses={401: {}, 404: {}})
async def explain_limits(body: WhoseLimitsBody, parts: PartsNeeded) -> ShownLimitsExplained:
    """Tell which limits apply to a key or tenant on each route, who said them where, and what they
    stand in the place of."""
    if (body.key is None) == (body.tenant is None) or (body.name and body.tenant is None):
        message = "write a key, or a tenant with or without the name of a key"
        errors = [{"in": "body", "message": message}]
        raise InvalidRequest(f"body: {message}", members={"errors": errors})
    if body.key is not None:
        told = await limits_of_key(parts.gateway, body.key, body.route)
    else:
        assert body.tenant is not None  # noqa: S101 - one of the two is there
        told = await limits_of_tenant(parts.gateway, body.tenant, body.name, body.route)
    return ShownLimitsExplained.model_validate(told.as_dict())


@router.get("/keys/{key_id}/limits", responses={404: {}})
async def get_key_limits(key_id: KeyIdInPath, parts: PartsNeeded) -> ShownLimits:
    """Show what is left for a key: of its own limits, and of those it shares with others. Left out
    is what counts by address or header, which only a request tells."""
    key = await parts.repository.get_key(key_id)
    tenant = await parts.repository.tenants.get(key.tenant)
    return await _limits(parts, tenant, key)


@router.post("/keys/{key_id}/limits/reset", responses={404: {}})
async def reset_key_limits(key_id: KeyIdInPath, parts: PartsNeeded) -> ResetLimits:
    """Fill a key's own limits. What it shares with its tenant stays."""
    key = await parts.repository.get_key(key_id)
    states = await parts.gateway.parts.limiter.reset(key.tenant, key_id)
    return ResetLimits(tenant=key.tenant, key_id=key_id, states=states)


@router.get("/tenants/{tenant}/limits", responses={404: {}})
async def get_tenant_limits(tenant: NameInPath, parts: PartsNeeded) -> ShownLimits:
    """Show what is left of the limits that all keys of a tenant share, with each other or with
    other tenants. Left out is what counts by address or header, which only a request tells."""
    return await _limits(parts, await parts.repository.tenants.get(tenant), None)


@router.post("/tenants/{tenant}/limits/reset", responses={404: {}})
async def reset_tenant_limits(tenant: NameInPath, parts: PartsNeeded) -> ResetLimits:
    """Fill a tenant's limits, and those of all its keys."""
    await parts.repository.tenants.get(tenant)
    states = await parts.gateway.parts.limiter.reset(tenant)
    return ResetLimits(tenant=tenant, key_id=None, states=states)


async def _limits(parts: Parts, tenant: Tenant, key: StoredKey | None) -> ShownLimits:
    try:
        plan = await parts.repository.plans.get(tenant.plan)
    except ObjectNotFound:
        raise PlanMissing(
            f"Tenant {tenant.name} is on plan {tenant.plan}, which does not exist"
        ) from None
    key_id, key_name, own = (None, "", ()) if key is None else (key.key_id, key.name, key.limits)
    said = OwnLimits(plan.limits, plan.routes, tenant.limits, own)
    caller = Caller.of(tenant.name, plan.name, key_id or "", key_name, said, plan.allow)
    left = await limits_left(parts.gateway.config, parts.gateway.parts, caller)
    return ShownLimits(
        tenant=tenant.name, key_id=key_id, plan=plan.name, limits=list(map(_shown, left))
    )


def _shown(left: Left) -> ShownLimitState:
    state = left.state
    return ShownLimitState(
        name=state.name,
        per=left.limit.per,
        route=left.route,
        limit=state.capacity,
        remaining=state.remaining,
        reset_s=state.reset_s,
    )
