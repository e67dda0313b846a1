"""Who used how much: requests, refusals and bytes by tenant, minute, key and route, in the store.

Counted in the worker and added to the store each second, so that a worker killed with -9 loses one
second of counts at most (and what one flush takes). Added exactly once: each batch has its worker's
next number, which the store keeps beside the sums; one whose reply was lost may be sent again.
A hash for each tenant and minute, `tg:usage:{tenant}:minute`, which expires; beside the counts by
route it has what each key used of all, so that one key's are few to read.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from tidegate.http import GatewayError
from tidegate.http.errors import StoreUnavailable
from tidegate.telemetry.meters import Meter

logger = logging.getLogger("tidegate.usage")

KEY_PREFIX: Final = b"tg:usage:"
FIELDS: Final = ("requests", "refused", "bytes")
BATCH_ENTRIES_MAX: Final = 500
"""Keys and routes in one script call, so that it does not hold the store for long."""
WAITING_MAX: Final = 2_000
"""Batches kept while the store is away: about half an hour of a few tenants."""
FLUSH_TIMEOUT_S: Final = 2.0
MINUTES_MAX: Final = 24 * 60
"""Minutes that one `read_usage` covers."""
READ_TIMEOUT_S: Final = 5.0

_ASIDE: Final = "#"
"""Begins fields that are no row: a worker's number, and what a key used of all routes."""

# KEYS[1] the hash; ARGV worker's field, batch number, seconds to keep, then field, amount, ...
ADD: Final = b"""\
if tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

# KEYS the hashes; ARGV the fields whose sums are returned
SUM: Final = b"""\
local sums = {}
for i = 1, #ARGV do sums[i] = 0 end
for _, key in ipairs(KEYS) do
  local amounts = redis.call('HMGET', key, unpack(ARGV))
  for i = 1, #ARGV do sums[i] = sums[i] + (amounts[i] or 0) end
end
return sums
"""


class Store(Protocol):
    """What is asked of the store."""

    def execute(
        self, *parts: bytes | str | int | float, timeout_s: float | None = None
    ) -> asyncio.Future[Any]: ...


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key used of one route in one minute (Unix time / 60)."""

    tenant: str
    minute: int
    key_id: str
    route: str
    requests: int
    refused: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    tenant: str
    minute: int
    entries: Sequence[tuple[str, int]]


class UsageFlush:
    """Moves counts from meters into the store. One for each worker."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = round(keep_s)
        self._worker = b"#" + os.urandom(6).hex().encode()
        self._numbers = 0
        self._waiting: deque[_Batch] = deque()
        self.lost = 0
        """Requests whose usage was given up, since the store was away for too long."""

    async def flush(self, meters: Sequence[Meter], store: Store) -> None:
        """Add what was counted since the last time. What the store does not take is kept."""
        self._gather(meters, int(time.time()) // 60)
        if not self._waiting:
            return
        batches = tuple(self._waiting)
        replies = [self._send(batch, store) for batch in batches]
        for batch, reply in zip(batches, await _settled(replies), strict=True):
            if isinstance(reply, StoreUnavailable):
                return  # this one and those after it: order is what makes a number sufficient
            if isinstance(reply, GatewayError):
                logger.error("usage of %s is lost: %s", batch.tenant, reply)
                self._count_lost(batch)
            self._waiting.remove(batch)

    def _gather(self, meters: Sequence[Meter], minute: int) -> None:
        by_tenant: dict[str, dict[str, int]] = {}
        for meter in meters:
            for caller, amounts in meter.take_usage().items():
                counted = by_tenant.setdefault(caller.tenant, {})
                for what, amount in zip(FIELDS, amounts, strict=True):
                    if amount:
                        of_all = _of_all(caller.key_id, what)
                        counted[of_all] = counted.get(of_all, 0) + amount
                        of_route = f"{caller.key_id}:{meter.route}:{what}"
                        counted[of_route] = counted.get(of_route, 0) + amount
        for tenant, counted in by_tenant.items():
            entries = tuple(counted.items())
            for start in range(0, len(entries), BATCH_ENTRIES_MAX):
                self._numbers += 1
                part = entries[start : start + BATCH_ENTRIES_MAX]
                self._waiting.append(_Batch(self._numbers, tenant, minute, part))
        while len(self._waiting) > WAITING_MAX:
            self._count_lost(self._waiting.popleft())

    def _send(self, batch: _Batch, store: Store) -> asyncio.Future[Any]:
        fields = [part for entry in batch.entries for part in entry]
        return store.execute(
            b"EVAL", ADD, 1, minute_key(batch.tenant, batch.minute), self._worker, batch.number,
            self._keep_s, *fields, timeout_s=FLUSH_TIMEOUT_S,
        )  # fmt: skip

    def _count_lost(self, batch: _Batch) -> None:
        self.lost += sum(
            amount
            for field, amount in batch.entries
            if field.endswith(":requests") and not field.startswith(_ASIDE)
        )


async def read_usage(store: Store, tenant: str, first: int, last: int) -> list[UsageRow]:
    """Return what `tenant` used from minute `first` to minute `last`, both counted from 1970.

    Raises ValueError for more than MINUTES_MAX minutes, StoreUnavailable.
    """
    if not 0 <= last - first < MINUTES_MAX:
        raise ValueError(f"a reading covers 1 to {MINUTES_MAX} minutes")
    minutes = range(first, last + 1)
    asked = [
        store.execute(b"HGETALL", minute_key(tenant, minute), timeout_s=READ_TIMEOUT_S)
        for minute in minutes
    ]
    rows: list[UsageRow] = []
    for minute, flat in zip(minutes, await asyncio.gather(*asked), strict=True):
        rows.extend(_rows(tenant, minute, flat))
    return rows


class Amounts(NamedTuple):
    """What was used, in the order of FIELDS."""

    requests: int
    refused: int
    bytes: int


async def read_key_usage(store: Store, tenant: str, key_id: str, first: int, last: int) -> Amounts:
    """Return what one key used from minute `first` to minute `last`, in one call.

    Reads its own fields alone, however many keys and routes there are. Raises StoreUnavailable.
    """
    minutes = [minute_key(tenant, minute) for minute in range(first, last + 1)]
    fields = [_of_all(key_id, what) for what in FIELDS]
    sums = await store.execute(
        b"EVAL", SUM, len(minutes), *minutes, *fields, timeout_s=READ_TIMEOUT_S
    )
    return Amounts(*map(int, sums))


def minute_key(tenant: str, minute: int) -> bytes:
    return b"%b{%b}:%d" % (KEY_PREFIX, tenant.encode(), minute)


def _of_all(key_id: str, what: str) -> str:
    """Return the field of what a key used of all routes."""
    return f"{_ASIDE}{key_id}:{what}"


def _rows(tenant: str, minute: int, flat: Sequence[bytes]) -> Iterator[UsageRow]:
    amounts: dict[tuple[str, str], dict[str, int]] = {}
    for field, amount in zip(flat[::2], flat[1::2], strict=True):
        if not field.startswith(_ASIDE.encode()):
            key_id, route, what = field.decode().split(":")
            amounts.setdefault((key_id, route), {})[what] = int(amount)
    for (key_id, route), counted in sorted(amounts.items()):
        requests, refused, size = (counted.get(field, 0) for field in FIELDS)
        yield UsageRow(tenant, minute, key_id, route, requests, refused, size)


async def _settled(replies: Sequence[asyncio.Future[Any]]) -> list[Any]:
    return await asyncio.gather(*replies, return_exceptions=True)
