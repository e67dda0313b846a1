"""What an operator does with keys, tenants and plans, whether the file or the API made them.

Keys are made here, shown once, listed, rotated and revoked; the store holds their digests only.
What the file says can be listed, not changed. A key belongs to a tenant by its name: it opens
nothing while there is no such tenant. What makes or ends a secret comes back once the store has
said that the change is on disk, or that it cannot say so (`durable`).
"""

from dataclasses import replace
from typing import Final

from tidegate.config.limits import LimitEntry
from tidegate.config.schema import Config
from tidegate.identity.errors import (
    InvalidObject,
    NameTaken,
    ObjectChanged,
    ObjectNotFound,
    TooManySecrets,
)
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.key_format import digest, new_key
from tidegate.identity.key_scripts import (
    CREATE_KEY,
    LIMIT_KEY,
    OLDER_MAX,
    RENAME_KEY,
    REVOKE_KEY,
    ROTATE_KEY,
)
from tidegate.identity.key_secrets import TRIES_MAX, Secrets, secrets_at, secrets_of
from tidegate.identity.layout import (
    ADMIN_TIMEOUT_S,
    KEY_DIGESTS,
    KEY_IDS,
    KEYS,
    key_record,
    tenant_record,
)
from tidegate.identity.listing import names_in, page_of
from tidegate.identity.models import CreatedKey, Page, RevokedKey, StoredKey, new_key_id
from tidegate.identity.names import checked_name
from tidegate.identity.plans import Plans
from tidegate.identity.said_limits import check_limits
from tidegate.identity.stored_callers import limits_to_json
from tidegate.identity.tenants import Tenants
from tidegate.store import Store

OVERLAP_S_MAX: Final = 30 * 86_400
_BATCH: Final = 100


class Repository:
    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._file = FileObjects(config)
        self.tenants = Tenants(store, self._file)
        self.plans = Plans(store, self._file)

    async def create_key(
        self, tenant: str, name: str, *, limits: tuple[LimitEntry, ...] = ()
    ) -> CreatedKey:
        """Make a key for a tenant of the file or of the store.

        Raises InvalidObject, ObjectNotFound for the tenant, NameTaken. After StoreUnavailable the
        name may be taken by a key that nobody has seen: revoke it and create it again.
        """
        path = f"{checked_name('tenant', tenant)}/{checked_name('key', name)}"
        if path in self._file.keys_by_path:
            raise NameTaken(f"Tenant {tenant} has a key {name} in the configuration file")
        check_limits(self._file, limits)
        key, key_id = new_key(), new_key_id()
        hashed = digest(key.encode())
        outcome = await self._store.run(
            CREATE_KEY,
            (
                key_record(self._store, hashed),
                tenant_record(self._store, tenant),
                KEYS,
                KEY_DIGESTS,
                KEY_IDS,
            ),
            (
                hashed.hex().encode(),
                key_id.encode(),
                tenant.encode(),
                name.encode(),
                int(tenant in self._file.tenants),
                limits_to_json(limits).encode(),
            ),
            ADMIN_TIMEOUT_S,
        )
        if outcome == b"no tenant":
            raise ObjectNotFound(f"There is no tenant {tenant}")
        if outcome == b"name taken":
            raise NameTaken(f"Tenant {tenant} has a key {name}: revoke it, or choose another name")
        durable = await self._store.wait_durable()
        stored = StoredKey(key_id, tenant, name, "api", outcome, limits=limits)
        return CreatedKey(key, stored, durable)

    async def get_key(self, key_id: str) -> StoredKey:
        """Return the key with this id; raise ObjectNotFound."""
        if (path := self._file.key_paths_by_id.get(key_id)) is not None:
            return self._file.keys_by_path[path]
        return await self._marked((await secrets_of(self._store, key_id)).key)

    async def key_named(self, tenant: str, name: str) -> StoredKey:
        """Return a tenant's key of this name; raise ObjectNotFound."""
        path = f"{tenant}/{name}"
        key = self._file.keys_by_path.get(path) or await self._stored_at(path)
        if key is None:
            raise ObjectNotFound(f"Tenant {tenant} has no key {name}: see `tidegate keys list`")
        return key

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

    async def rotate_key(self, key_id: str, overlap_s: int) -> CreatedKey:
        """Give the key a new secret; the one before it ends after `overlap_s`, at most.

        Name, id and what was spent stay. 0 ends every older secret at once; otherwise each keeps
        the end it has, if that is nearer. Raises InvalidObject, ReadOnlyObject, ObjectNotFound,
        and TooManySecrets where more than OLDER_MAX would be valid beside the new one. After
        StoreUnavailable the key may have a secret that nobody has seen: rotate it again.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise InvalidObject(f"An overlap is 0 to {OVERLAP_S_MAX} seconds")
        new = new_key()
        hashed = digest(new.encode())
        for _ in range(TRIES_MAX):
            secrets = await self._changeable(key_id)
            outcome = await self._store.run(
                ROTATE_KEY,
                (
                    secrets.record,
                    key_record(self._store, hashed),
                    KEY_DIGESTS,
                    *secrets.older_records,
                ),
                (
                    secrets.digest.hex().encode(),
                    hashed.hex().encode(),
                    secrets.path,
                    overlap_s * 1000,
                    OLDER_MAX,
                ),
                ADMIN_TIMEOUT_S,
            )
            if outcome == b"too many":
                raise TooManySecrets(
                    f"{OLDER_MAX} old secrets of key {key_id} are still valid: wait until one "
                    "has ended, or rotate with an overlap of 0, which ends them all"
                )
            if outcome != b"changed":
                rotated_at, older_end_at = outcome
                stored = replace(secrets.key, rotated_at=rotated_at, older_end_at=older_end_at)
                return CreatedKey(new, stored, await self._store.wait_durable())
        raise _kept_changing(key_id)

    async def change_key(
        self, key_id: str, *, name: str | None, limits: tuple[LimitEntry, ...] | None
    ) -> StoredKey:
        """Rename the key, limit it, or both; None stays. Raises as these two do, nothing done where
        the limits cannot be."""
        if limits is not None:
            check_limits(self._file, limits)
        key = await self.get_key(key_id)
        if name is not None:
            key = await self.rename_key(key_id, name)
        if limits is not None:
            key = await self.limit_key(key_id, limits)
        return key

    async def rename_key(self, key_id: str, name: str) -> StoredKey:
        """Give the key another name. Raises InvalidObject, ReadOnlyObject, ObjectNotFound,
        NameTaken.
        """
        checked_name("key", name)
        for _ in range(TRIES_MAX):
            secrets = await self._changeable(key_id)
            key = secrets.key
            if key.name == name:
                return key
            path = f"{key.tenant}/{name}"
            if path in self._file.keys_by_path:
                raise NameTaken(f"Tenant {key.tenant} has a key {name} in the configuration file")
            outcome = await self._store.run(
                RENAME_KEY,
                (secrets.record, KEYS, KEY_DIGESTS, KEY_IDS, *secrets.older_records),
                (
                    secrets.digest.hex().encode(),
                    key_id.encode(),
                    secrets.path,
                    path.encode(),
                    name.encode(),
                ),
                ADMIN_TIMEOUT_S,
            )
            if outcome == b"name taken":
                raise NameTaken(f"Tenant {key.tenant} has a key {name}: choose another name")
            if outcome != b"changed":
                return replace(key, name=name)
        raise _kept_changing(key_id)

    async def limit_key(self, key_id: str, limits: tuple[LimitEntry, ...]) -> StoredKey:
        """Give the key these limits of its own, in place of those it has. Raises InvalidObject,
        ReadOnlyObject, ObjectNotFound.
        """
        check_limits(self._file, limits)
        for _ in range(TRIES_MAX):
            secrets = await self._changeable(key_id)
            outcome = await self._store.run(
                LIMIT_KEY,
                (secrets.record, KEY_DIGESTS, *secrets.older_records),
                (secrets.digest.hex().encode(), secrets.path, limits_to_json(limits).encode()),
                ADMIN_TIMEOUT_S,
            )
            if outcome != b"changed":
                return replace(secrets.key, limits=limits)
        raise _kept_changing(key_id)

    async def revoke_key(self, key_id: str) -> RevokedKey:
        """Revoke the key with this id. Raises ReadOnlyObject, ObjectNotFound."""
        for _ in range(TRIES_MAX):
            secrets = await self._changeable(key_id)
            if await self._unlink(secrets):
                return RevokedKey(secrets.key, await self._store.wait_durable())
        raise _kept_changing(key_id)

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
                await self._unlink_at(path)
        if not existed:
            raise ObjectNotFound(f"There is no tenant {name}")
        return await self._store.wait_durable()

    async def _unlink_at(self, path: str) -> None:
        for _ in range(TRIES_MAX):
            secrets = await secrets_at(self._store, path)
            if secrets is None or await self._unlink(secrets):
                return
        raise _kept_changing(path)

    async def _unlink(self, secrets: Secrets) -> bool:
        """Remove records and index together; False if the key was changed meanwhile."""
        removed: int = await self._store.run(
            REVOKE_KEY,
            (secrets.record, KEYS, KEY_DIGESTS, KEY_IDS, *secrets.older_records),
            (secrets.digest.hex().encode(), secrets.key.key_id.encode(), secrets.path),
            ADMIN_TIMEOUT_S,
        )
        return removed == 1

    async def _changeable(self, key_id: str) -> Secrets:
        if (path := self._file.key_paths_by_id.get(key_id)) is not None:
            raise self._file.read_only("key", path)
        secrets = await secrets_of(self._store, key_id)
        return replace(secrets, key=await self._marked(secrets.key))

    async def _stored_at(self, path: str) -> StoredKey | None:
        found = await secrets_at(self._store, path)
        return None if found is None else await self._marked(found.key)

    async def _marked(self, key: StoredKey) -> StoredKey:
        """Return a key of the store with whether it is in force."""
        if key.tenant in self._file.tenants:
            return key
        has_tenant: int = await self._store.execute(
            b"EXISTS", tenant_record(self._store, key.tenant), timeout_s=ADMIN_TIMEOUT_S
        )
        return replace(key, in_force=has_tenant == 1)


def _kept_changing(what: str) -> ObjectChanged:
    return ObjectChanged(f"{what} is being changed by others all the time: try again")
