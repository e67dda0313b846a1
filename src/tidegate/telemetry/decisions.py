"""Decision records: what was decided about a request, and why, kept for explaining and replaying.

Sampled at the head: every so many requests one is taken, whatever becomes of it, and every refusal
up to a bound each second, and up to a smaller one of each key: the stream is everybody's. Written
each second to one capped stream of the store, `tg:decisions`, which expires; what was taken while
the store was away waits for it, up to a bound: samples, not accounts. Each record says for how many
requests it stands (`weight`), and how many were passed over for want of room, or lost, since the
one before it (`unrecorded`), so that who replays them knows what he does not know.
"""

import json
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

from tidegate.http import GatewayError
from tidegate.telemetry.fold import REFUSALS
from tidegate.telemetry.meters import GATEWAY, Meter, Record
from tidegate.telemetry.usage import Store

STREAM: Final = b"tg:decisions"
KEPT_S: Final = 7 * 86_400
REFUSALS_A_FLUSH: Final = 100
REFUSALS_OF_ONE: Final = 10
"""Of one key, or of all without one: who is refused again and again leaves room to others."""
SAMPLES_A_FLUSH: Final = 500
SAMPLES_OF_ONE: Final = 250
FLUSH_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 5.0
READ_AT_ONCE: Final = 200
"""Who looks for a few records seldom needs more."""

_PLACE: Final = re.compile(r"[0-9]{1,15}(-[0-9]{1,15})?")

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
"""`json.dumps` makes an encoder for each call that has options."""


class DecisionSamples:
    """Takes the samples of one worker."""

    def __init__(self, rate: float, kept: int) -> None:
        """`rate` is the share of requests that are taken, `kept` the length of the stream."""
        self._every = round(1 / rate) if rate > 0 else 0
        self._kept = kept
        self._next = self._every - 1
        """How many requests pass before the next is taken."""
        self._refusals = _Room(REFUSALS_A_FLUSH, REFUSALS_OF_ONE)
        self._samples = _Room(SAMPLES_A_FLUSH, SAMPLES_OF_ONE)
        self._unrecorded = 0
        """Requests without a record since the latest record."""
        self._taken: list[tuple[bytes, int]] = []
        """Each with how many requests it tells of: its weight, and what it says is unrecorded."""
        self.dropped = 0

    def take_some(self, meter: Meter, records: Sequence[Record]) -> None:
        """Take every so many of `records`; refusals are taken where they happen."""
        if not self._every:
            return
        while self._next < len(records):
            facts, method, status, _, answered_at = records[self._next]
            self._next += self._every
            if facts.source != GATEWAY or status not in REFUSALS:
                self._take(meter, facts, method, status, answered_at, self._every)
        self._next -= len(records)

    def take_refusal(self, meter: Meter, facts: Any, method: str, status: int) -> None:
        """Take a refusal, up to so many in each flush."""
        self._take(meter, facts, method, status, perf_counter(), 0)

    def _take(
        self, meter: Meter, facts: Any, method: str, status: int, answered_at: float, every: int
    ) -> None:
        """Make the record of a refusal, or of one in `every` requests, if there is room for it."""
        room, weight = (self._samples, every) if every else (self._refusals, 1)
        if not room.takes(None if facts.caller is None else facts.caller.key_id):
            self.dropped += 1
            self._unrecorded += weight
            return
        # When it was decided: a slow service makes the answer much later.
        at = time.time() - (perf_counter() - (facts.decided_at or answered_at))
        missed, self._unrecorded = self._unrecorded, 0
        record = _record(meter, facts, method, status, at, every, missed)
        self._taken.append((record, weight + missed))

    async def flush(self, store: Store) -> None:
        """Append what was taken to the stream."""
        taken, self._taken = self._taken, []
        self._refusals.clear()
        self._samples.clear()
        if not taken:
            return
        replies = [
            store.execute(
                b"XADD", STREAM, b"MAXLEN", b"~", self._kept, b"*", b"r", record,
                timeout_s=FLUSH_TIMEOUT_S,
            )
            for record, _ in taken
        ]  # fmt: skip
        expiring = store.execute(b"EXPIRE", STREAM, KEPT_S, timeout_s=FLUSH_TIMEOUT_S)
        for (_, requests), reply in zip(taken, replies, strict=True):
            try:
                await reply
            except GatewayError:
                self.dropped += 1
                self._unrecorded += requests
        with suppress(GatewayError):
            await expiring


class _Room:
    """For how many records there is room until the next flush, in all and of one key."""

    __slots__ = ("_left", "_of", "_of_one", "_total")

    def __init__(self, total: int, of_one: int) -> None:
        self._total = self._left = total
        self._of_one = of_one
        self._of: dict[str | None, int] = {}
        """What each key has taken; those of no key are one."""

    def takes(self, key_id: str | None) -> bool:
        taken = self._of.get(key_id, 0)
        if not self._left or taken >= self._of_one:
            return False
        self._of[key_id] = taken + 1
        self._left -= 1
        return True

    def clear(self) -> None:
        self._left = self._total
        self._of.clear()


async def recent_decisions(store: Store, count: int) -> AsyncGenerator[dict[str, Any], None]:
    """Yield up to `count` records, the latest first. Raises StoreUnavailable."""
    last: bytes = b"+"
    while count > 0:
        page: Sequence[Any] = await store.execute(
            b"XREVRANGE", STREAM, last, b"-", b"COUNT", min(count, READ_AT_ONCE),
            timeout_s=READ_TIMEOUT_S,
        )  # fmt: skip
        for entry_id, (_, record) in page:
            last = b"(" + entry_id
            yield json.loads(record)
        count -= len(page)
        if len(page) < READ_AT_ONCE:
            return


async def decisions_after(
    store: Store, after: str, count: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return up to `count` records, the oldest first, and the place of the last one: None where
    there is no more. `after` is such a place, or milliseconds since 1970. Raises StoreUnavailable.
    """
    if _PLACE.fullmatch(after) is None:
        return [], None
    start = "(" + after if "-" in after else after
    page: Sequence[Any] = await store.execute(
        b"XRANGE", STREAM, start.encode(), b"+", b"COUNT", count, timeout_s=READ_TIMEOUT_S
    )
    last = page[-1][0].decode() if len(page) == count else None
    return [json.loads(record) for _, (_, record) in page], last


def _record(
    meter: Meter, facts: Any, method: str, status: int, at: float, every: int, missed: int
) -> bytes:
    caller, decision = facts.caller, facts.decision
    units, costs = ((), ()) if decision is None else (facts.counted[0].units, facts.counted[1])
    return _encode(
        {
            "time": round(at, 6),
            "request_id": facts.request_id.decode("latin-1"),
            "service": meter.service,
            "route": meter.route,
            "method": method,
            "status": status,
            "source": facts.source,
            "cache": facts.cache_status,
            "verdict": "admitted" if every else "refused",
            "weight": every or 1,
            "unrecorded": missed,
            "tenant": None if caller is None else caller.tenant,
            "plan": None if caller is None else caller.plan,
            "key_id": None if caller is None else caller.key_id,
            "cost": costs[0] if costs else None,
            "costs": {} if len(costs) < 2 else dict(zip(units[1:], costs[1:], strict=True)),
            "limits": [
                {"name": s.name, "capacity": s.capacity, "remaining": s.remaining}
                for s in (decision.states if decision is not None else ())
            ],
            "would_refuse": () if decision is None else decision.would_refuse,
            "near": () if decision is None else decision.near,
            "degraded": None if decision is None else decision.degraded,
        }
    ).encode()
