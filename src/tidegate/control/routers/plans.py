"""Plans: the limits and routes of every tenant on them. Who is on one keeps it from deletion."""

from fastapi import APIRouter, Response

from tidegate.control.fields import Body, NameInPath, Shown, ShownObject
from tidegate.control.paging import Listed, PositionQuery, listed
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.control.plan_fields import (
    PlanLimits,
    PlanRoutes,
    ShownAllowed,
    ShownLimit,
    checked_limits,
    checked_routes,
    shown_limits,
    shown_routes,
)
from tidegate.control.revisions import Expected, tag, tag_written
from tidegate.identity import Plan

router = APIRouter(prefix="/v1/plans", tags=["plans"])


class PlanBody(Body):
    limits: PlanLimits
    allow: PlanRoutes | None = None
    """The routes that its callers may call. Left out or null: every route."""


class ShownPlan(ShownObject):
    name: str
    limits: list[ShownLimit]
    allow: list[ShownAllowed] | None
    """Null: every route."""


class DeletedPlan(Shown):
    name: str


@router.get("")
async def list_plans(parts: PartsNeeded, position: PositionQuery) -> Listed[ShownPlan]:
    """List the plans of the file and of the API, by name."""
    page = await parts.repository.plans.page(after=position.after, count=position.count)
    return listed(page, lambda plan: _shown(parts, plan))


@router.get("/{plan}", responses={404: {}})
async def get_plan(plan: NameInPath, parts: PartsNeeded, response: Response) -> ShownPlan:
    """Show a plan; its ETag is for If-Match."""
    found = await parts.repository.plans.get(plan)
    tag(response, found.revision)
    return _shown(parts, found)


@router.put(
    "/{plan}",
    responses={
        201: {"model": ShownPlan, "description": "Created"},
        409: {"description": "The file says what this plan is"},
        412: {},
    },
)
async def put_plan(
    plan: NameInPath, body: PlanBody, parts: PartsNeeded, expected: Expected, response: Response
) -> ShownPlan:
    """Create a plan, or replace its limits and routes. Workers follow within a second.

    What a caller has spent of a limit counts on under the same name.
    """
    written = await parts.repository.plans.put(
        plan, checked_limits(body.limits), expected, allow=checked_routes(body.allow)
    )
    tag_written(response, written)
    return _shown(parts, written.item)


@router.delete("/{plan}", responses={404: {}, 409: {}})
async def delete_plan(plan: NameInPath, parts: PartsNeeded) -> DeletedPlan:
    """Delete a plan that no tenant is on. Deleting it again is 404 and changes nothing."""
    await parts.repository.plans.delete(plan)
    return DeletedPlan(name=plan)


def _shown(parts: Parts, plan: Plan) -> ShownPlan:
    return ShownPlan(
        name=plan.name,
        limits=shown_limits(plan.limits),
        allow=shown_routes(plan.allow),
        origin=plan.origin,
        defined_in=parts.defined_in(plan.origin, "plan", plan.name),
        created_at=plan.created_at,
    )
