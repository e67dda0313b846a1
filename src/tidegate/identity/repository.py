"""What an operator does with keys, tenants and plans, whether the file or the API made them.

Keys are made here, shown once, listed and revoked; the store holds their digests only. What the
file says can be listed, not changed. A key belongs to a tenant by its name: it opens nothing while
there is no such tenant. `create_key` and `revoke_key` come back once the store has said that the
change is on disk, or that it cannot say so (`durable`).
"""

from typing import Final

from tidegate.config.schema import Config
from tidegate.identity.errors import NameTaken, ObjectNotFound
from tidegate.identity.file_objects import FileObjects, PlaceOf, somewhere
from tidegate.identity.key_format import digest, new_key
from tidegate.identity.layout import (
    ADMIN_TIMEOUT_S,
    CREATE_KEY,
    KEY_DIGESTS,
    KEY_IDS,
    KEYS,
    REVOKE_KEY,
    key_record,
    tenant_record,
)
from tidegate.identity.listing import names_in, page_of
from tidegate.identity.models import CreatedKey, Page, RevokedKey, StoredKey, new_key_id
from tidegate.identity.names import checked_name
from tidegate.identity.plans import Plans
from tidegate.identity.stored_callers import read_record
from tidegate.identity.tenants import Tenants
from tidegate.store import Store

_BATCH: Final = 100


class Repository:
    def __init__(self, config: Config, store: Store, *, place_of: PlaceOf = somewhere) -> None:
        """`place_of(kind, name)` says where the file defines an object, for messages."""
        self._store = store
        self._file = FileObjects(config, place_of)
        self.tenants = Tenants(store, self._file)
        self.plans = Plans(store, self._file)

    async def create_key(self, tenant: str, name: str) -> CreatedKey:
        """Make a key for a tenant of the file or of the store.

        Raises InvalidObject, ObjectNotFound for the tenant, NameTaken. After StoreUnavailable the
        name may be taken by a key that nobody has seen: revoke it and create it again.
        """
        path = f"{checked_name('tenant', tenant)}/{checked_name('key', name)}"
        if path in self._file.keys_by_path:
            raise NameTaken(f"Tenant {tenant} has a key {name} in the configuration file")
        key, key_id = new_key(), new_key_id()
        hashed = digest(key.encode())
        outcome = await self._store.run(
            CREATE_KEY,
            (key_record(hashed), tenant_record(tenant), KEYS, KEY_DIGESTS, KEY_IDS),
            (
                hashed.hex().encode(),
                key_id.encode(),
                tenant.encode(),
                name.encode(),
                int(tenant in self._file.tenants),
            ),
            ADMIN_TIMEOUT_S,
        )
        if outcome == b"no tenant":
            raise ObjectNotFound(f"There is no tenant {tenant}")
        if outcome == b"name taken":
            raise NameTaken(f"Tenant {tenant} has a key {name}: revoke it, or choose another name")
        durable = await self._store.wait_durable()
        return CreatedKey(key, StoredKey(key_id, tenant, name, "api", outcome), durable)

    async def get_key(self, key_id: str) -> StoredKey:
        """Return the key with this id; raise ObjectNotFound."""
        if (path := self._file.key_paths_by_id.get(key_id)) is not None:
            return self._file.keys_by_path[path]
        return (await self._stored_by_id(key_id))[1]

    async def list_keys(
        self, *, tenant: str | None = None, after: str = "", count: int = 100
    ) -> Page[StoredKey]:
        """Return a page of the keys of one tenant, or of all, in the order of tenant and name."""
        # A stored key may have the name of a key that came into the file later: both are listed.
        in_file = {f"{path}/": key for path, key in self._file.keys_by_path.items()}
        return await page_of(
            self._store,
            KEYS,
            in_file,
            self._stored_at,
            prefix="" if tenant is None else f"{checked_name('tenant', tenant)}/",
            after=after,
            count=count,
        )

    async def revoke_key(self, key_id: str) -> RevokedKey:
        """Revoke the key with this id. Raises ReadOnlyObject, ObjectNotFound."""
        if (path := self._file.key_paths_by_id.get(key_id)) is not None:
            raise self._file.read_only("key", path)
        hashed, key = await self._stored_by_id(key_id)
        return await self._revoke(hashed, key)

    async def revoke_named_key(self, tenant: str, name: str) -> RevokedKey:
        """Revoke the key that `tenant` calls `name`. Raises ReadOnlyObject, ObjectNotFound."""
        path = f"{tenant}/{name}"
        if path in self._file.keys_by_path:
            raise self._file.read_only("key", path)
        found = await self._digest_and_key(path)
        if found is None:
            raise ObjectNotFound(f"Tenant {tenant} has no key {name}")
        return await self._revoke(*found)

    async def delete_tenant(self, name: str) -> bool:
        """Delete a tenant and its keys, and return whether that is durable.

        The tenant goes first, so that none of its keys opens anything from then on; if this is
        cut short, calling it again does the rest. Raises ReadOnlyObject, ObjectNotFound.
        """
        existed = await self.tenants.delete_record(name)
        after = ""
        while paths := await names_in(
            self._store, KEYS, prefix=f"{name}/", after=after, count=_BATCH
        ):
            existed, after = True, paths[-1]
            for path in paths:
                if (found := await self._digest_and_key(path)) is not None:
                    await self._unlink(*found)
        if not existed:
            raise ObjectNotFound(f"There is no tenant {name}")
        return await self._store.wait_durable()

    async def _revoke(self, hashed: bytes, key: StoredKey) -> RevokedKey:
        if not await self._unlink(hashed, key):
            raise ObjectNotFound(f"Tenant {key.tenant} has no key {key.name}")
        return RevokedKey(key, await self._store.wait_durable())

    async def _unlink(self, hashed: bytes, key: StoredKey) -> bool:
        """Remove record and index together; False if somebody was faster."""
        removed: int = await self._store.run(
            REVOKE_KEY,
            (key_record(hashed), KEYS, KEY_DIGESTS, KEY_IDS),
            (hashed.hex().encode(), key.key_id.encode(), f"{key.tenant}/{key.name}".encode()),
            ADMIN_TIMEOUT_S,
        )
        return removed == 1

    async def _stored_by_id(self, key_id: str) -> tuple[bytes, StoredKey]:
        path: bytes | None = await self._store.execute(
            b"HGET", KEY_IDS, key_id, timeout_s=ADMIN_TIMEOUT_S
        )
        found = None if path is None else await self._digest_and_key(path.decode())
        # Between the two readings the name may have passed to another key.
        if found is None or found[1].key_id != key_id:
            raise ObjectNotFound(f"There is no key {key_id}")
        return found

    async def _stored_at(self, path: str) -> StoredKey | None:
        found = await self._digest_and_key(path)
        return None if found is None else found[1]

    async def _digest_and_key(self, path: str) -> tuple[bytes, StoredKey] | None:
        in_hex: bytes | None = await self._store.execute(
            b"HGET", KEY_DIGESTS, path, timeout_s=ADMIN_TIMEOUT_S
        )
        if in_hex is None:
            return None
        hashed = bytes.fromhex(in_hex.decode())
        fields = await read_record(
            self._store,
            key_record(hashed),
            b"id",
            b"tenant",
            b"name",
            b"created_at",
            timeout_s=ADMIN_TIMEOUT_S,
        )
        if fields is None:
            return None
        key_id, tenant, name, created_at = fields
        return hashed, StoredKey(key_id, tenant, name, "api", int(created_at))
