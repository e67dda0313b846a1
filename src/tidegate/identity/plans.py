"""Plans: those of the file, which are read-only here, and those made by API, in the store."""

from collections.abc import Mapping

from tidegate.config.limits import LimitEntry
from tidegate.config.schema import Allowed, StoreFailure
from tidegate.identity.errors import InvalidObject, ObjectChanged, ObjectInUse, ObjectNotFound
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.layout import (
    ADMIN_TIMEOUT_S,
    ANY,
    DELETE_PLAN,
    PLAN_TENANTS,
    PLANS,
    PUT_PLAN,
    REVISIONS,
    plan_record,
)
from tidegate.identity.listing import page_of
from tidegate.identity.models import Page, Plan, Put
from tidegate.identity.names import checked_name
from tidegate.identity.said_limits import check_limits, check_limits_by_route
from tidegate.identity.stored_callers import (
    allow_to_json,
    limits_to_json,
    read_plan,
    routes_to_json,
)
from tidegate.store import Store


class Plans:
    def __init__(self, store: Store, file: FileObjects) -> None:
        self._store = store
        self._file = file

    async def put(
        self,
        name: str,
        limits: tuple[LimitEntry, ...],
        expected: str = ANY,
        *,
        allow: tuple[Allowed, ...] | None = None,
        routes: Mapping[str, tuple[LimitEntry, ...]] | None = None,
        on_store_failure: StoreFailure | None = None,
    ) -> Put[Plan]:
        """Create the plan or replace it, if it is at the `expected` revision.

        `allow` names routes of the file, the only ones there are; None: every one. `routes` has
        the limits that are said of single ones. Raises ReadOnlyObject, InvalidObject,
        ObjectChanged.
        """
        checked_name("plan", name)
        if name in self._file.plans:
            raise self._file.read_only("plan", name)
        routes = routes or {}
        check_limits(self._file, limits)
        check_limits_by_route(self._file, routes)
        self._check_routes(allow)
        outcome = await self._store.run(
            PUT_PLAN,
            (plan_record(self._store, name), PLANS, REVISIONS),
            (
                name.encode(),
                limits_to_json(limits).encode(),
                expected.encode(),
                allow_to_json(allow).encode(),
                routes_to_json(routes).encode(),
                (on_store_failure or "").encode(),
            ),
            ADMIN_TIMEOUT_S,
        )
        if outcome == b"changed":
            raise ObjectChanged(f"Plan {name} is not at the expected revision: read it again")
        created_at, revision, is_new = outcome
        put = Plan(name, limits, "api", created_at, revision, allow, routes, on_store_failure)
        return Put(put, is_new == 1)

    async def get(self, name: str) -> Plan:
        """Return the plan; raise ObjectNotFound."""
        plan = self._file.plans.get(name) or await self._stored(name)
        if plan is None:
            raise ObjectNotFound(f"There is no plan {name}")
        return plan

    async def page(self, *, after: str = "", count: int = 100) -> Page[Plan]:
        return await page_of(
            self._store, PLANS, self._file.plans, self._stored, after=after, count=count
        )

    async def delete(self, name: str) -> None:
        """Delete the plan. Raises ReadOnlyObject, ObjectNotFound, ObjectInUse."""
        if name in self._file.plans:
            raise self._file.read_only("plan", name)
        outcome = await self._store.run(
            DELETE_PLAN,
            (plan_record(self._store, name), PLANS, PLAN_TENANTS),
            (name.encode(),),
            ADMIN_TIMEOUT_S,
        )
        if outcome == b"in use":
            raise ObjectInUse(f"Tenants are on plan {name}: move them first")
        if outcome == 0:
            raise ObjectNotFound(f"There is no plan {name}")

    async def _stored(self, name: str) -> Plan | None:
        return await read_plan(self._store, name, ADMIN_TIMEOUT_S)

    def _check_routes(self, allow: tuple[Allowed, ...] | None) -> None:
        """A plan that allows nothing, or a route by a wrong name, is a mistake."""
        if allow is None:
            return
        names = [entry.route for entry in allow]
        if not names or len(set(names)) < len(names):
            raise InvalidObject("`allow` names at least one route, and each once")
        if unknown := sorted(set(names) - self._file.route_names):
            raise InvalidObject(f"There is no route {unknown[0]}")
