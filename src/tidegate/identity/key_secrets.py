"""A stored key with the digests of all its secrets: what every change of a key starts from.

Reading takes two steps, by id or name to the current digest and from there to the record, and
between them the key may be rotated, renamed or revoked; then the first step tells, so it is taken
again. The scripts compare the digest once more.
"""

from dataclasses import dataclass
from typing import Final

from tidegate.identity.errors import ObjectNotFound, RecordUnreadable
from tidegate.identity.layout import ADMIN_TIMEOUT_S, KEY_DIGESTS, KEY_IDS, key_record
from tidegate.identity.models import StoredKey
from tidegate.identity.stored_callers import limits_from_json
from tidegate.store import Store

TRIES_MAX: Final = 5
"""How often a step starts again because the key was changed meanwhile."""

_FIELDS: Final = (
    b"id",
    b"tenant",
    b"name",
    b"created_at",
    b"rotated_at",
    b"older_end_at",
    b"older",
    b"limits",
)


@dataclass(frozen=True, slots=True)
class Secrets:
    key: StoredKey
    digest: bytes
    """Of the current secret."""
    record: bytes
    """Where it lies in the store."""
    older_records: tuple[bytes, ...]
    """Where secrets before it lie, some of which may have ended."""

    @property
    def path(self) -> bytes:
        return f"{self.key.tenant}/{self.key.name}".encode()


async def secrets_of(store: Store, key_id: str) -> Secrets:
    """Return the key with this id; raise ObjectNotFound."""
    for _ in range(TRIES_MAX):
        path: bytes | None = await store.execute(
            b"HGET", KEY_IDS, key_id, timeout_s=ADMIN_TIMEOUT_S
        )
        if path is None:
            break
        found = await secrets_at(store, path.decode())
        if found is not None and found.key.key_id == key_id:
            return found
    raise ObjectNotFound(f"There is no key {key_id}")


async def secrets_at(store: Store, path: str) -> Secrets | None:
    """Return the key at `tenant/name`, or None."""
    for _ in range(TRIES_MAX):
        in_hex: bytes | None = await store.execute(
            b"HGET", KEY_DIGESTS, path, timeout_s=ADMIN_TIMEOUT_S
        )
        if in_hex is None:
            break
        digest = bytes.fromhex(in_hex.decode())
        fields: list[bytes | None] = await store.execute(
            b"HMGET", key_record(store, digest), *_FIELDS, timeout_s=ADMIN_TIMEOUT_S
        )
        if any(fields):
            return _secrets(store, digest, fields)
    return None


def _secrets(store: Store, digest: bytes, fields: list[bytes | None]) -> Secrets:
    values = [None if value is None else value.decode() for value in fields]
    key_id, tenant, name, created_at, rotated_at, older_end_at, older, limits = values
    if key_id is None or tenant is None or name is None or created_at is None:
        raise RecordUnreadable("A record in the store lacks a field that this version needs")
    key = StoredKey(
        key_id,
        tenant,
        name,
        "api",
        int(created_at),
        None if rotated_at is None else int(rotated_at),
        None if older_end_at is None else int(older_end_at),
        limits=limits_from_json(limits or ""),
    )
    before = map(bytes.fromhex, (older or "").split())
    return Secrets(
        key,
        digest,
        key_record(store, digest),
        tuple(key_record(store, earlier) for earlier in before),
    )
