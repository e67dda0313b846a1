"""Who calls, and the objects behind that: keys, tenants and plans, each with its origin.

A `Caller` is made once for each key and then shared by all its requests; it compares by identity,
so that other parts can hang what they compile for it on the object itself. No model holds a key:
only `CreatedKey` does, for the one moment in which it is shown.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from tidegate.config.limits import LimitEntry
from tidegate.config.precedence import NOBODY, OwnLimits
from tidegate.config.schema import Allowed, StoreFailure
from tidegate.http.headers import HeaderField
from tidegate.identity.key_format import base62, random_base62

KEY_ID_CHARACTERS: Final = 12
"""71 bits: two of a million random ids are equal once in six billion such sets."""

Origin = Literal["file", "api"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """The authenticated caller of a request."""

    tenant: str
    plan: str
    key_id: str
    key_name: str
    upstream_headers: tuple[HeaderField, ...]
    grants: Mapping[str, frozenset[str]] | None = None
    """The routes that the plan has, each with its methods (none named: all of them); None: every
    route."""
    own: OwnLimits = NOBODY
    """What is said of this caller's limits at each level; config.precedence tells which hold."""
    on_store_failure: StoreFailure | None = None
    """What the plan says."""

    @classmethod
    def of(
        cls,
        tenant: str,
        plan: str,
        key_id: str,
        key_name: str,
        own: OwnLimits = NOBODY,
        allow: tuple[Allowed, ...] | None = None,
        on_store_failure: StoreFailure | None = None,
    ) -> "Caller":
        upstream_headers = (
            (b"x-tidegate-tenant", tenant.encode("ascii")),
            (b"x-tidegate-plan", plan.encode("ascii")),
            (b"x-tidegate-key-id", key_id.encode("ascii")),
        )
        grants = grants_of(allow)
        return cls(tenant, plan, key_id, key_name, upstream_headers, grants, own, on_store_failure)


def grants_of(allow: tuple[Allowed, ...] | None) -> Mapping[str, frozenset[str]] | None:
    """Return `allow` for looking up; GET brings HEAD (RFC 9110, section 9.3.2)."""
    if allow is None:
        return None
    return {
        entry.route: frozenset(entry.methods) | ({"HEAD"} if "GET" in entry.methods else set())
        for entry in allow
    }


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it may be shown: everything but the key. `created_at`: Unix seconds, store's clock;
    None for what the file says."""

    key_id: str
    tenant: str
    name: str
    origin: Origin
    created_at: int | None = None
    rotated_at: int | None = None
    older_end_at: int | None = None
    """When the last of the secrets before the current one ends, or has ended."""
    in_force: bool = True
    """There is its tenant. One that has left the file leaves keys behind, which open nothing."""
    limits: tuple[LimitEntry, ...] = ()
    """In place of its tenant's and plan's of the same name."""


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """`key` is the secret itself: show it once, keep it nowhere. `durable`: it is on disk."""

    key: str = field(repr=False)
    stored: StoredKey
    durable: bool


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """`durable`: a power loss cannot bring the key back."""

    stored: StoredKey
    durable: bool


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    plan: str
    origin: Origin
    created_at: int | None = None
    revision: int | None = None
    """Another one after each change; None for what the file says."""
    limits: tuple[LimitEntry, ...] = ()
    """In place of its plan's of the same name."""


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    limits: tuple[LimitEntry, ...]
    origin: Origin
    created_at: int | None = None
    revision: int | None = None
    allow: tuple[Allowed, ...] | None = None
    """The routes that its callers may call; None: every one."""
    routes: Mapping[str, tuple[LimitEntry, ...]] = field(default_factory=dict)
    """What it says of the limits on single routes."""
    on_store_failure: StoreFailure | None = None


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """What was written, and whether there was nothing of that name before."""

    item: T
    is_new: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_after` is handed back to get the following page; None: this was the last."""

    items: tuple[T, ...]
    next_after: str | None


def caller_of(
    plan: Plan,
    tenant: str,
    tenant_limits: tuple[LimitEntry, ...],
    key_id: str,
    key_name: str,
    key_limits: tuple[LimitEntry, ...],
) -> Caller:
    """Return who calls with this key: all that is said of him, put together once."""
    own = OwnLimits(plan.limits, plan.routes, tenant_limits, key_limits)
    return Caller.of(tenant, plan.name, key_id, key_name, own, plan.allow, plan.on_store_failure)


def new_key_id() -> str:
    return "key_" + random_base62(KEY_ID_CHARACTERS)


def file_key_id(tenant: str, name: str) -> str:
    """Return the id of a key of the file: the same as long as tenant and name are the same."""
    hashed = hashlib.sha256(f"{tenant}/{name}".encode()).digest()
    return "key_" + base62(int.from_bytes(hashed, "big"), KEY_ID_CHARACTERS)
