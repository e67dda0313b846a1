"""What commands do to keys, limits and cache, and what `explain` asks: by the admin API of the
gateway that runs on the data directory, or straight on the store where none can be asked. Both say
the same.

The API is asked wherever the command means that gateway, without a look at its file: what is in
force is the gateway's to say, whatever the file holds by now and whatever it needs to be read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tidegate.cli.failure import Failure, explained
from tidegate.cli.inputs import (
    Chosen,
    chosen,
    data_directory,
    loaded,
    opened_store,
    read_settings,
    require_its_store,
)
from tidegate.cli.tenants import require_tenant
from tidegate.cli.urls import first_path, reachable, url_of

if TYPE_CHECKING:
    from tidegate.cli.admin_client import AdminClient
    from tidegate.cli.explain import AskedRequest
    from tidegate.cli.limits_explain import WhoseLimits
    from tidegate.cli.limits_reset import SharedLimits
    from tidegate.cli.purge import Purge
    from tidegate.config import Config, Settings
    from tidegate.gateway import Explanation, Gateway, LimitsExplained
    from tidegate.identity import CreatedKey, RevokedKey, StoredKey
    from tidegate.store import Store

T = TypeVar("T")


class Operations(Protocol):
    async def path_to_try(self) -> str:
        """Return a path that a key opens, if a route tells one."""
        ...

    async def has_tenant(self, name: str) -> bool: ...

    async def tenants(self) -> list[str]:
        """Return the names of the first ones."""
        ...

    async def keys(self, tenant: str | None) -> "list[StoredKey]": ...

    async def create_key(self, tenant: str, name: str) -> "CreatedKey": ...

    async def rotate_key(self, key_id: str, overlap_s: int) -> "CreatedKey": ...

    async def revoke_key(self, key: "StoredKey") -> "RevokedKey": ...

    async def reset_limits(self, tenant: str, key_id: str | None) -> int:
        """Return how many states were forgotten."""
        ...

    async def reset_shared_limits(self, what: "SharedLimits") -> int:
        """Return how many states were forgotten."""
        ...

    async def purge_cache(self, what: "Purge") -> None: ...

    async def explain(self, asked: "AskedRequest") -> "Explanation": ...

    async def explain_limits(self, whose: "WhoseLimits") -> "LimitsExplained": ...

    async def decisions_after(
        self, after: str, count: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of decision records and where the next one begins: None, if nowhere.
        `after` is such a place, or milliseconds since 1970."""
        ...


class StoreOperations:
    def __init__(self, config: "Config", data_dir: Path, store: "Store") -> None:
        from tidegate.identity import Repository
        from tidegate.rate_limiter import Limiter

        self._config, self._data_dir, self._store = config, data_dir, store
        self._repository = Repository(config, store)
        self._limiter = Limiter(store)

    async def path_to_try(self) -> str:
        routes = (route for service in self._config.services for route in service.routes)
        return first_path((*one.exact_paths, *one.paths) for one in routes if one.auth)

    async def has_tenant(self, name: str) -> bool:
        from tidegate.identity import ObjectNotFound

        try:
            await self._repository.tenants.get(name)
        except ObjectNotFound:
            return False
        return True

    async def tenants(self) -> list[str]:
        return [tenant.name for tenant in (await self._repository.tenants.page()).items]

    async def keys(self, tenant: str | None) -> "list[StoredKey]":
        found: list[StoredKey] = []
        after: str | None = ""
        while after is not None:
            page = await self._repository.list_keys(tenant=tenant, after=after)
            found.extend(page.items)
            after = page.next_after
        return found

    async def create_key(self, tenant: str, name: str) -> "CreatedKey":
        return await self._repository.create_key(tenant, name)

    async def rotate_key(self, key_id: str, overlap_s: int) -> "CreatedKey":
        return await self._repository.rotate_key(key_id, overlap_s)

    async def revoke_key(self, key: "StoredKey") -> "RevokedKey":
        return await self._repository.revoke_key(key.key_id)

    async def reset_limits(self, tenant: str, key_id: str | None) -> int:
        return await self._limiter.reset(tenant, key_id)

    async def reset_shared_limits(self, what: "SharedLimits") -> int:
        from tidegate.gateway.limit_resets import reset_shared
        from tidegate.http import GatewayError

        with explained(GatewayError):
            return await reset_shared(self._limiter, self._config, what.per, what.value)

    async def purge_cache(self, what: "Purge") -> None:
        from tidegate.gateway import purge
        from tidegate.http import GatewayError

        with explained(GatewayError):
            async with self._gateway() as gateway:
                await purge(gateway, urls=what.urls, tenant=what.tenant)

    async def explain(self, asked: "AskedRequest") -> "Explanation":
        from tidegate.gateway import explain

        async with self._gateway() as gateway:
            return await explain(gateway, **asdict(asked))

    async def decisions_after(
        self, after: str, count: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        from tidegate.telemetry import decisions_after

        return await decisions_after(self._store, after, count)

    async def explain_limits(self, whose: "WhoseLimits") -> "LimitsExplained":
        from tidegate.gateway import limits_of_key, limits_of_tenant
        from tidegate.http import GatewayError

        with explained(GatewayError):
            async with self._gateway() as gateway:
                if whose.key is not None:
                    return await limits_of_key(gateway, whose.key, whose.route)
                return await limits_of_tenant(gateway, whose.tenant, whose.name, whose.route)

    def _gateway(self) -> "Gateway":
        from tidegate.gateway import Gateway

        return Gateway(self._config, data_dir=self._data_dir, store=self._store, starts_apps=False)


@dataclass(frozen=True, slots=True)
class Where:
    """Where a command did what it was told."""

    traffic_url: str
    """At which clients reach the gateway that runs there; else the one that would."""
    is_served: bool = True
    """A gateway has told that it listens there."""
    nobody: str = ""
    """Says that no gateway runs there, where none does."""
    store: str = ""
    """Where it was done if not by a gateway, as it may be shown."""


def done(
    config: Path | None, data_dir: Path | None, act: Callable[[Operations], Awaitable[T]]
) -> "tuple[Where, T]":
    """Do `act`, and return where with what came of it."""
    return done_there(config, data_dir, lambda operations, _: act(operations))


def done_there(
    config: Path | None, data_dir: Path | None, act: Callable[[Operations, Where], Awaitable[T]]
) -> "tuple[Where, T]":
    """As `done`, for an act that asks where it is done."""
    from tidegate.store.gateways import shown_store

    settings = read_settings()
    found = chosen(config, settings, data_dir)
    place = data_directory(data_dir, settings)
    its_url = found.running.traffic_url if found.running is not None else ""
    client = admin_client(found, place, settings)
    if client is not None:
        from tidegate.cli.admin_client import AdminUnreachable

        where = Where(reachable(its_url))
        with suppress(AdminUnreachable):
            return where, asyncio.run(_by_the_api(client, where, act))
    configured = loaded(found.path)
    require_its_store(found, configured, place)
    where = Where(
        reachable(its_url or url_of((configured.listen.host, configured.listen.port))),
        is_served=its_url != "",
        nobody=_nobody(found, place) if found.running is None else "",
        store=shown_store(configured.redis, place),
    )
    return where, asyncio.run(_on_the_store(configured, place, where, act))


def _nobody(found: Chosen, data_dir: Path) -> str:
    from tidegate.store.gateways import running_gateway

    nobody = f"No gateway runs on {data_dir}"
    if running_gateway(data_dir) is None:
        return nobody
    return f"{nobody} with the configuration {found.path}"


async def _by_the_api(
    client: "AdminClient", where: Where, act: Callable[[Operations, Where], Awaitable[T]]
) -> T:
    async with client:
        return await act(client, where)


async def _on_the_store(
    config: "Config",
    data_dir: Path,
    where: Where,
    act: Callable[[Operations, Where], Awaitable[T]],
) -> T:
    async with opened_store(config.redis, data_dir) as store:
        return await act(StoreOperations(config, data_dir, store), where)


def admin_client(found: Chosen, data_dir: Path, settings: "Settings") -> "AdminClient | None":
    """Return the API of the gateway that was found, if it has told of one and a token is known."""
    from tidegate.cli.admin_token import known_admin_token

    running = found.running
    if running is None or not (running.url and running.traffic_url):
        return None
    token = known_admin_token(data_dir, settings)
    if token is None:
        return None
    from tidegate.cli.admin_client import AdminClient

    return AdminClient(running.url, token)


def checked(kind: str, name: str) -> str:
    """Return `name`, or refuse what nothing can be called, before anybody is asked."""
    from tidegate.identity import InvalidObject
    from tidegate.identity.names import checked_name

    with explained(InvalidObject):
        return checked_name(kind, name)


async def keys_named(operations: Operations, tenant: str, name: str) -> "list[StoredKey]":
    """Return the keys that `tenant` calls `name`, the file's first: file and store may each have
    one."""
    found = [key for key in await operations.keys(tenant) if key.name == name]
    if not found:
        await require_tenant(operations, tenant)
        raise Failure(f"Tenant {tenant} has no key {name}: see `tidegate keys list`.")
    return sorted(found, key=lambda key: key.origin != "file")
