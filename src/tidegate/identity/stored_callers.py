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
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from tidegate.config.limits import CheckedLimit, Limit, as_written
from tidegate.config.schema import Allowed
from tidegate.identity.errors import PlanMissing, RecordUnreadable
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.layout import key_record, plan_record, tenant_record
from tidegate.identity.models import Caller
from tidegate.store import Store

_LIMITS: TypeAdapter[tuple[Limit, ...]] = TypeAdapter(tuple[CheckedLimit, ...])
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
    record = key_record(digest)
    read_from.append(record)
    # One write, and in this order: what has ended by the time of the second is not there.
    left_ms, key = await asyncio.gather(
        store.execute(b"PTTL", record), read_record(store, record, b"id", b"tenant", b"name")
    )
    if key is None:
        return Found(None)
    ends_in_s = math.inf if left_ms < 0 else left_ms / 1000
    return Found(await _caller(store, file, key, read_from), ends_in_s)


async def _caller(
    store: Store, file: FileObjects, key: list[str], read_from: list[bytes]
) -> Caller | None:
    key_id, tenant, name = key
    if (tenant_in_file := file.tenants.get(tenant)) is not None:
        plan = tenant_in_file.plan
    else:
        fields = await _read(store, read_from, tenant_record(tenant), b"plan")
        if fields is None:
            return None
        plan = fields[0]
    if (plan_in_file := file.plans.get(plan)) is not None:
        return Caller.of(tenant, plan, key_id, name, plan_in_file.limits, plan_in_file.allow)
    read_from.append(plan_record(plan))
    fields = await read_record(store, plan_record(plan), b"limits", optional=(b"allow",))
    if fields is None:
        raise PlanMissing(f"Tenant {tenant} is on plan {plan}, which does not exist")
    limits, allow = limits_from_json(fields[0]), allow_from_json(fields[1])
    return Caller.of(tenant, plan, key_id, name, limits, allow)


async def _read(
    store: Store, read_from: list[bytes], record: bytes, *names: bytes
) -> list[str] | None:
    read_from.append(record)
    return await read_record(store, record, *names)


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
def limits_from_json(text: str) -> tuple[Limit, ...]:
    """Return the limits of a stored plan: while it is remembered, one object for one text."""
    try:
        return _LIMITS.validate_json(text)
    except ValidationError as error:
        raise RecordUnreadable("A stored plan has limits that this version cannot read") from error


@functools.lru_cache(maxsize=256)
def allow_from_json(text: str) -> tuple[Allowed, ...] | None:
    """Return the routes of a stored plan; no text: every route."""
    if not text:
        return None
    try:
        return _ALLOW.validate_json(text)
    except ValidationError as error:
        raise RecordUnreadable("A stored plan allows what this version cannot read") from error


def allow_to_json(allow: tuple[Allowed, ...] | None) -> str:
    """Return the stored form of `allow`, empty for every route."""
    if allow is None:
        return ""
    return json.dumps([entry.model_dump(exclude_defaults=True) for entry in allow])


def limits_to_json(limits: tuple[Limit, ...]) -> str:
    """Return the stored form of `limits`: what the file would say."""
    return json.dumps([as_written(limit) for limit in limits])
