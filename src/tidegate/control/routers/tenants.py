"""Tenants: whose keys they are, and on which plan. A deleted tenant takes its keys along."""

from fastapi import APIRouter, Response
from pydantic import Field

from tidegate.control import removals
from tidegate.control.fields import Body, Name, NameInPath, Shown, ShownObject
from tidegate.control.limit_fields import Limits, ShownLimit, checked_limits, shown_limits
from tidegate.control.paging import Listed, PositionQuery, listed
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.control.revisions import Expected, tag, tag_written
from tidegate.identity import Tenant

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])


class TenantBody(Body):
    plan: Name
    limits: Limits = Field(default_factory=list)
    """In place of the plan's of the same name."""


class ShownTenant(ShownObject):
    name: str
    plan: str
    limits: list[ShownLimit]
    """In place of the plan's of the same name."""


class DeletedTenant(Shown):
    name: str
    durable: bool
    """No power loss can bring its keys back."""


@router.get("")
async def list_tenants(parts: PartsNeeded, position: PositionQuery) -> Listed[ShownTenant]:
    """List the tenants of the file and of the API, by name."""
    page = await parts.repository.tenants.page(after=position.after, count=position.count)
    return listed(page, lambda tenant: _shown(parts, tenant))


@router.get("/{tenant}", responses={404: {}})
async def get_tenant(tenant: NameInPath, parts: PartsNeeded, response: Response) -> ShownTenant:
    """Show a tenant; its ETag is for If-Match."""
    found = await parts.repository.tenants.get(tenant)
    tag(response, found.revision)
    return _shown(parts, found)


@router.put(
    "/{tenant}",
    responses={
        201: {"model": ShownTenant, "description": "Created"},
        404: {"description": "There is no such plan"},
        409: {"description": "The file says what this tenant is, or old keys of it are left"},
        412: {},
    },
)
async def put_tenant(
    tenant: NameInPath, body: TenantBody, parts: PartsNeeded, expected: Expected, response: Response
) -> ShownTenant:
    """Create a tenant, or replace its plan and limits. Workers follow within a second.

    Limits that are left out are none: those of the plan hold.
    """
    limits = checked_limits(body.limits)
    parts.refuse_unheard(limits)
    await removals.check_tenant(parts, body.plan, limits)
    written = await parts.repository.tenants.put(tenant, body.plan, expected, limits=limits)
    tag_written(response, written)
    return _shown(parts, written.item)


@router.delete("/{tenant}", responses={404: {}, 409: {}})
async def delete_tenant(tenant: NameInPath, parts: PartsNeeded) -> DeletedTenant:
    """Delete a tenant and revoke all its keys. Deleting it again is 404 and changes nothing."""
    return DeletedTenant(name=tenant, durable=await parts.repository.delete_tenant(tenant))


def _shown(parts: Parts, tenant: Tenant) -> ShownTenant:
    return ShownTenant(
        name=tenant.name,
        plan=tenant.plan,
        limits=shown_limits(tenant.limits),
        origin=tenant.origin,
        defined_in=parts.defined_in(tenant.origin, "tenant", tenant.name),
        created_at=tenant.created_at,
    )
