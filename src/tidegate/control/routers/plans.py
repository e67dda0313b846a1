"""Plans: the limits and routes of every tenant on them. Who is on one keeps it from deletion."""

from itertools import chain

from fastapi import APIRouter, Response
from pydantic import Field

from tidegate.config.schema import StoreFailure
from tidegate.control import removals
from tidegate.control.fields import Body, NameInPath, Shown, ShownObject
from tidegate.control.limit_fields import Limits, ShownLimit, checked_limits, shown_limits
from tidegate.control.paging import Listed, PositionQuery, listed
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.control.plan_fields import (
    LimitsByRoute,
    PlanRoutes,
    ShownAllowed,
    ShownPlanRoute,
    checked_limits_by_route,
    checked_routes,
    shown_limits_by_route,
    shown_routes,
)
from tidegate.control.revisions import Expected, tag, tag_written
from tidegate.identity import Plan

router = APIRouter(prefix="/v1/plans", tags=["plans"])


class PlanBody(Body):
    limits: Limits
    allow: PlanRoutes | None = None
    """The routes that its callers may call. Left out or null: every route."""
    routes: LimitsByRoute = Field(default_factory=dict)
    """What it says of the limits on single routes."""
    on_store_failure: StoreFailure | None = None
    """Where the store cannot be reached, and the route does not say; null: local."""


class ShownPlan(ShownObject):
    name: str
    limits: list[ShownLimit]
    allow: list[ShownAllowed] | None
    """Null: every route."""
    routes: dict[str, ShownPlanRoute]
    """What it says of the limits on single routes."""
    on_store_failure: StoreFailure | None


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
    limits, routes = checked_limits(body.limits), checked_limits_by_route(body.routes)
    parts.refuse_unheard(chain(limits, *routes.values()))
    removals.check_plan(parts, limits, routes)
    written = await parts.repository.plans.put(
        plan,
        limits,
        expected,
        allow=checked_routes(body.allow),
        routes=routes,
        on_store_failure=body.on_store_failure,
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
        routes=shown_limits_by_route(plan.routes),
        on_store_failure=plan.on_store_failure,
        origin=plan.origin,
        defined_in=parts.defined_in(plan.origin, "plan", plan.name),
        created_at=plan.created_at,
    )
