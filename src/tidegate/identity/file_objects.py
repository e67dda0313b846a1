"""The tenants, plans and keys of the configuration file, compiled for looking up.

Of a key only its digest is kept. Looking a digest up in a dict and then comparing the two digests
with `hmac.compare_digest` is sound against timing: what a dict's look-up can leak concerns the
digest, and nobody can steer SHA-256 towards a digest he wants, so learning that he came near
brings him no nearer; the dict's own hash is seeded anew in each process besides. The final
comparison takes the same time wherever two digests differ, so that no rewrite of the container
can turn this into a comparison that stops at the first wrong byte.
"""

import hmac
from typing import Final

from tidegate.config.schema import Config
from tidegate.identity.errors import ReadOnlyObject
from tidegate.identity.key_format import digest
from tidegate.identity.models import (
    Caller,
    Plan,
    StoredKey,
    Tenant,
    caller_of,
    file_key_id,
)


class FileObjects:
    """What the file says. Immutable."""

    def __init__(self, config: Config) -> None:
        self._places: Final = config.places
        self.plans: Final = {
            name: Plan(
                name,
                plan.limits,
                "file",
                allow=plan.allow,
                routes={route: said.limits for route, said in plan.routes.items()},
                on_store_failure=plan.on_store_failure,
            )
            for name, plan in config.plans.items()
        }
        routes = [route for service in config.services for route in service.routes]
        self.route_names: Final = frozenset(route.name for route in routes)
        self.open_routes: Final = frozenset(route.name for route in routes if not route.auth)
        self.units_by_route: Final = {route.name: frozenset(route.costs) for route in routes}
        self.units: Final = frozenset().union(*self.units_by_route.values())
        self.tenants: Final = {
            tenant.name: Tenant(tenant.name, tenant.plan, "file", limits=tenant.limits)
            for tenant in config.tenants
        }
        self.keys_by_path: Final[dict[str, StoredKey]] = {}
        """The path is `tenant/name`."""
        self._callers: Final[dict[bytes, tuple[bytes, Caller]]] = {}
        for tenant in config.tenants:
            plan = self.plans[tenant.plan]
            for key in tenant.keys:
                key_id = file_key_id(tenant.name, key.name)
                self.keys_by_path[f"{tenant.name}/{key.name}"] = StoredKey(
                    key_id, tenant.name, key.name, "file", limits=key.limits
                )
                hashed = digest(key.value.get_secret_value().encode())
                self._callers[hashed] = (
                    hashed,
                    caller_of(plan, tenant.name, tenant.limits, key_id, key.name, key.limits),
                )
        self.key_paths_by_id: Final = {key.key_id: path for path, key in self.keys_by_path.items()}

    def caller(self, presented_digest: bytes) -> Caller | None:
        """Return the caller whose key of the file has this digest. No I/O."""
        entry = self._callers.get(presented_digest)
        if entry is None or not hmac.compare_digest(entry[0], presented_digest):
            return None
        return entry[1]

    def read_only(self, kind: str, name: str) -> ReadOnlyObject:
        """Return the refusal to change an object of the file, naming where to change it."""
        place = self._places.of(kind, name)
        return ReadOnlyObject(
            f"{kind.capitalize()} {name} is defined in {place}: change it there",
            members={"origin": "file", "defined_in": place},
        )
