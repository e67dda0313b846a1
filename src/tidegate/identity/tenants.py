"""Tenants: those of the file, which are read-only here, and those made by API, in the store."""

from tidegate.config.limits import LimitEntry
from tidegate.identity.errors import ObjectChanged, ObjectInUse, ObjectNotFound
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.layout import (
    ADMIN_TIMEOUT_S,
    ANY,
    DELETE_TENANT,
    KEYS,
    PLAN_TENANTS,
    PUT_TENANT,
    REVISIONS,
    TENANTS,
    plan_record,
    tenant_record,
)
from tidegate.identity.listing import page_of
from tidegate.identity.models import Page, Put, Tenant
from tidegate.identity.names import checked_name
from tidegate.identity.said_limits import check_limits
from tidegate.identity.stored_callers import limits_from_json, limits_to_json, read_record
from tidegate.store import Store


class Tenants:
    def __init__(self, store: Store, file: FileObjects) -> None:
        self._store = store
        self._file = file

    async def put(
        self,
        name: str,
        plan: str,
        expected: str = ANY,
        *,
        limits: tuple[LimitEntry, ...] = (),
    ) -> Put[Tenant]:
        """Create the tenant or replace its plan and limits, if it is at the `expected` revision.

        Raises ReadOnlyObject, InvalidObject, ObjectChanged, ObjectNotFound for the plan, and
        ObjectInUse where an earlier tenant of this name left keys: a new customer must not
        inherit them.
        """
        checked_name("tenant", name)
        checked_name("plan", plan)
        if name in self._file.tenants:
            raise self._file.read_only("tenant", name)
        check_limits(self._file, limits)
        outcome = await self._store.run(
            PUT_TENANT,
            (
                tenant_record(self._store, name),
                plan_record(self._store, plan),
                TENANTS,
                PLAN_TENANTS,
                KEYS,
                REVISIONS,
            ),
            (
                name.encode(),
                plan.encode(),
                int(plan in self._file.plans),
                expected.encode(),
                limits_to_json(limits).encode(),
            ),
            ADMIN_TIMEOUT_S,
        )
        if outcome == b"changed":
            raise ObjectChanged(f"Tenant {name} is not at the expected revision: read it again")
        if outcome == b"no plan":
            raise ObjectNotFound(f"There is no plan {plan}")
        if outcome == b"keys left":
            raise ObjectInUse(
                f"Keys of an earlier tenant {name} are still there: delete that tenant first"
            )
        created_at, revision, is_new = outcome
        return Put(Tenant(name, plan, "api", created_at, revision, limits), is_new == 1)

    async def get(self, name: str) -> Tenant:
        """Return the tenant; raise ObjectNotFound."""
        tenant = self._file.tenants.get(name) or await self._stored(name)
        if tenant is None:
            raise ObjectNotFound(f"There is no tenant {name}")
        return tenant

    async def page(self, *, after: str = "", count: int = 100) -> Page[Tenant]:
        return await page_of(
            self._store, TENANTS, self._file.tenants, self._stored, after=after, count=count
        )

    async def delete_record(self, name: str) -> bool:
        """Delete the tenant but not its keys, which no longer open anything; False if absent."""
        if name in self._file.tenants:
            raise self._file.read_only("tenant", name)
        deleted: int = await self._store.run(
            DELETE_TENANT,
            (tenant_record(self._store, name), TENANTS, PLAN_TENANTS),
            (name.encode(),),
            ADMIN_TIMEOUT_S,
        )
        return deleted == 1

    async def _stored(self, name: str) -> Tenant | None:
        fields = await read_record(
            self._store,
            tenant_record(self._store, name),
            b"plan",
            b"created_at",
            b"revision",
            optional=(b"limits",),
            timeout_s=ADMIN_TIMEOUT_S,
        )
        if fields is None:
            return None
        plan, created_at, revision, limits = fields
        return Tenant(name, plan, "api", int(created_at), int(revision), limits_from_json(limits))
