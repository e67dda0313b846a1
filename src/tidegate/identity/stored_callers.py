"""What the store says about a key: who calls, on which plan, with which limits, and until when.

Tenant and plan come from the file where the file has them, else from the store: one round trip
for a key that is unknown or belongs to a tenant of the file, three at most. Every store key is
noted *before* it is read, so that whoever watches for changes knows what this reading rests on.
Store down and store confused are errors of their own: only "there is no such record" is None.
"""

import asyncio
import functools
import json
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from tidegate.config.limits import CheckedEntry, LimitEntry, as_written
from tidegate.config.schema import STORE_FAILURES, Allowed, StoreFailure
from tidegate.identity.errors import PlanMissing, RecordUnreadable
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.layout import key_record, plan_record, tenant_record
from tidegate.identity.models import Caller, Plan, caller_of
from tidegate.store import Store

_LIMITS: TypeAdapter[tuple[LimitEntry, ...]] = TypeAdapter(tuple[CheckedEntry, ...])
_ROUTES: TypeAdapter[dict[str, tuple[LimitEntry, ...]]] = TypeAdapter(
    dict[str, tuple[CheckedEntry, ...]]
)
_ALLOW: TypeAdapter[tuple[Allowed, ...]] = TypeAdapter(tuple[Allowed, ...])


class Found(NamedTuple):
    caller: Caller | None
    """None: key or tenant do not exist."""
    ends_in_s: float = math.inf
    """How long the key is still good, on the store's clock."""


async def stored_caller(
    store: Store, file: FileObjects, digest: bytes, read_from: list[bytes]
) -> Found:
    """Return the caller and how long the key is good; append each store key read."""
    record = key_record(store, digest)
    read_from.append(record)
    # One write, and in this order: what has ended by the time of the second is not there.
    left_ms, key = await asyncio.gather(
        store.execute(b"PTTL", record),
        read_record(store, record, b"id", b"tenant", b"name", optional=(b"limits",)),
    )
    if key is None:
        return Found(None)
    ends_in_s = math.inf if left_ms < 0 else left_ms / 1000
    return Found(await _caller(store, file, key, read_from), ends_in_s)


async def _caller(
    store: Store, file: FileObjects, key: list[str], read_from: list[bytes]
) -> Caller | None:
    key_id, tenant, name, key_limits = key
    if (tenant_in_file := file.tenants.get(tenant)) is not None:
        plan_name, tenant_limits = tenant_in_file.plan, tenant_in_file.limits
    else:
        record = tenant_record(store, tenant)
        read_from.append(record)
        fields = await read_record(store, record, b"plan", optional=(b"limits",))
        if fields is None:
            return None
        plan_name, tenant_limits = fields[0], limits_from_json(fields[1])
    plan = file.plans.get(plan_name)
    if plan is None:
        read_from.append(plan_record(store, plan_name))
        plan = await read_plan(store, plan_name)
        if plan is None:
            raise PlanMissing(f"Tenant {tenant} is on plan {plan_name}, which does not exist")
    return caller_of(plan, tenant, tenant_limits, key_id, name, limits_from_json(key_limits))


async def read_plan(store: Store, name: str, timeout_s: float | None = None) -> Plan | None:
    """Return a plan of the store; None if there is none of that name."""
    fields = await read_record(
        store,
        plan_record(store, name),
        b"limits",
        optional=(b"created_at", b"revision", b"allow", b"routes", b"on_store_failure"),
        timeout_s=timeout_s,
    )
    if fields is None:
        return None
    limits, created_at, revision, allow, routes, on_store_failure = fields
    return Plan(
        name,
        limits_from_json(limits),
        "api",
        int(created_at) if created_at else None,
        int(revision) if revision else None,
        allow_from_json(allow),
        routes_from_json(routes),
        store_failure_of(on_store_failure),
    )


async def read_record(
    store: Store,
    record: bytes,
    *names: bytes,
    optional: tuple[bytes, ...] = (),
    timeout_s: float | None = None,
) -> list[str] | None:
    """Return these fields of a record as text; None if there is no such record.

    `optional` are fields that earlier versions did not write: empty where they are missing.
    """
    values: list[bytes | None] = await store.execute(
        b"HMGET", record, *names, *optional, timeout_s=timeout_s
    )
    needed = values[: len(names)]
    if needed.count(None) == len(names):
        return None
    if None in needed:
        raise RecordUnreadable("A record in the store lacks a field that this version needs")
    return ["" if value is None else value.decode() for value in values]


@functools.lru_cache(maxsize=256)
def limits_from_json(text: str) -> tuple[LimitEntry, ...]:
    """Return what is stored of limits: while it is remembered, one object for one text. No text:
    none."""
    if not text:
        return ()
    try:
        return _LIMITS.validate_json(text)
    except ValidationError as error:
        raise RecordUnreadable("There are stored limits that this version cannot read") from error


@functools.lru_cache(maxsize=256)
def allow_from_json(text: str) -> tuple[Allowed, ...] | None:
    """Return the routes of a stored plan; no text: every route."""
    if not text:
        return None
    try:
        return _ALLOW.validate_json(text)
    except ValidationError as error:
        raise RecordUnreadable("A stored plan allows what this version cannot read") from error


@functools.lru_cache(maxsize=256)
def routes_from_json(text: str) -> Mapping[str, tuple[LimitEntry, ...]]:
    """Return what a stored plan says of single routes; no text: nothing."""
    if not text:
        return {}
    try:
        return _ROUTES.validate_json(text)
    except ValidationError as error:
        raise RecordUnreadable("There are stored limits that this version cannot read") from error


def routes_to_json(routes: Mapping[str, tuple[LimitEntry, ...]]) -> str:
    """Return the stored form of what a plan says of single routes."""
    if not routes:
        return ""
    return json.dumps({name: list(map(as_written, limits)) for name, limits in routes.items()})


def store_failure_of(text: str) -> StoreFailure | None:
    """Return what a stored plan says; no text: nothing."""
    for known in STORE_FAILURES:
        if text == known:
            return known
    if text:
        raise RecordUnreadable("A stored plan says on_store_failure as this version cannot read it")
    return None


def allow_to_json(allow: tuple[Allowed, ...] | None) -> str:
    """Return the stored form of `allow`, empty for every route."""
    if allow is None:
        return ""
    return json.dumps([entry.model_dump(exclude_defaults=True) for entry in allow])


def limits_to_json(limits: Iterable[LimitEntry]) -> str:
    """Return the stored form of `limits`: what the file would say."""
    return json.dumps([as_written(limit) for limit in limits])
