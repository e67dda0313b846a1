"""What commands do to keys and limits: by the admin API of the gateway that runs on the data
directory, or straight on the store where none can be asked. Both say the same.

The API is asked only where it means what the command means: a gateway on the same configuration
and the same store.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from tidegate.cli.failure import Failure, explained
from tidegate.cli.inputs import (
    config_path,
    data_directory,
    load_config,
    opened_store,
    read_settings,
    shown_store,
)

if TYPE_CHECKING:
    from tidegate.cli.admin_client import AdminClient
    from tidegate.cli.purge import Purge
    from tidegate.config import Config, Settings
    from tidegate.identity import CreatedKey, RevokedKey, StoredKey
    from tidegate.store import Store

T = TypeVar("T")


class Operations(Protocol):
    async def keys(self, tenant: str | None) -> "list[StoredKey]": ...

    async def create_key(self, tenant: str, name: str) -> "CreatedKey": ...

    async def rotate_key(self, key_id: str, overlap_s: int) -> "CreatedKey": ...

    async def revoke_key(self, key: "StoredKey") -> "RevokedKey": ...

    async def reset_limits(self, tenant: str, key_id: str | None) -> int:
        """Return how many states were forgotten."""
        ...

    async def purge_cache(self, what: "Purge") -> None: ...


class StoreOperations:
    def __init__(self, config: "Config", data_dir: Path, store: "Store") -> None:
        from tidegate.identity import Repository
        from tidegate.rate_limiter import Limiter

        self._config, self._data_dir, self._store = config, data_dir, store
        self._repository = Repository(config, store)
        self._limiter = Limiter(store)

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
        if key_id is None:
            await self._repository.tenants.get(tenant)
        return await self._limiter.reset(tenant, key_id)

    async def purge_cache(self, what: "Purge") -> None:
        from tidegate.gateway import Gateway, purge
        from tidegate.http import GatewayError

        gateway = Gateway(
            self._config, data_dir=self._data_dir, store=self._store, starts_apps=False
        )
        with explained(GatewayError):
            async with gateway:
                await purge(gateway, urls=what.urls, tenant=what.tenant)


def done(
    config: Path | None, data_dir: Path | None, act: Callable[[Operations], Awaitable[T]]
) -> "tuple[Config, T]":
    """Do `act` and return the configuration with what came of it."""
    settings = read_settings()
    path = config_path(config, settings, data_dir)
    loaded = load_config(path, settings)
    place = data_directory(data_dir, settings)

    async def on_the_store() -> T:
        async with opened_store(loaded, place) as store:
            return await act(StoreOperations(loaded, place, store))

    async def run() -> T:
        client = _client(path, loaded, place, settings)
        if client is None:
            return await on_the_store()
        from tidegate.cli.admin_client import AdminUnreachable

        try:
            async with client:
                return await act(client)
        except AdminUnreachable:
            return await on_the_store()

    return loaded, asyncio.run(run())


def traffic_url(config: Path | None, data_dir: Path | None) -> str | None:
    """Return where the gateway that runs on this configuration takes requests, if one does."""
    from tidegate.cli.advertised import running_gateway

    settings = read_settings()
    running = running_gateway(data_directory(data_dir, settings))
    if running is None or running.config != str(config_path(config, settings).absolute()):
        return None
    return running.traffic_url or None


def _client(
    path: Path, config: "Config", data_dir: Path, settings: "Settings"
) -> "AdminClient | None":
    from tidegate.cli.admin_token import known_admin_token
    from tidegate.cli.advertised import running_gateway

    running = running_gateway(data_dir)
    if running is None or running.config != str(path.absolute()):
        return None
    token = known_admin_token(data_dir, settings)
    if token is None or running.store != shown_store(config, data_dir):
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
        raise Failure(f"Tenant {tenant} has no key {name}: see `tidegate keys list`.")
    return sorted(found, key=lambda key: key.origin != "file")
