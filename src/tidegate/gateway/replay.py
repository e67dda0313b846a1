"""What if: recorded decisions, decided again by a proposed configuration.

The limits are local.py's, whose rules are the script's, on the clock of the records. Each request
is asked once, at the time at which it was decided: a client who is refused more may well come back
more. A record that stands for several requests is asked for all of them, and where not all fit, for
those that do. Bounded: rows of tenants and keys, slots of time, records that wait for their turn.
"""

import heapq
from collections import Counter as Counts
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

from tidegate.config.limits import Quota
from tidegate.gateway.proposed_limits import Asked, NotReplayed, ProposedLimits
from tidegate.rate_limiter.limits import REQUESTS, Counter, compiled_subject
from tidegate.rate_limiter.local_limits import LocalLimits
from tidegate.rate_limiter.units import SECOND_US

TOO_MANY: Final = 429
ROWS_MAX: Final = 20_000
OTHERS: Final = "(others)"
REASONS_MAX: Final = 50
OTHER_REASONS: Final = "other routes and plans that are not in the proposed configuration"
SLOTS: Final = 60
LATE_S: Final = 5.0
"""Workers flush their records each second, each its own."""
WAITING_MAX: Final = 50_000
BEGUN_MAX: Final = 20_000

Record = Mapping[str, Any]


@dataclass(slots=True)
class Row:
    """One key of a tenant, or whoever calls without one."""

    tenant: str
    key: str
    requests: int = 0
    met: int = 0
    """429 by limits, as recorded."""
    would: int = 0
    """429 by what is proposed."""
    newly: int = 0
    """Of these, what was admitted then."""
    freed: int = 0
    """Met 429, and would not."""
    shadow: int = 0
    """Would be refused if the limits in the shadow were not."""
    by: Counts[str] = field(default_factory=Counts)
    """The limits that would refuse."""
    doubt: int = 0
    would_doubt: int = 0
    """Squares of what sampling leaves open, of `requests` and of `would`."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "key": self.key,
            "requests": self.requests,
            "requests_within": within(self.doubt),
            "met_429": self.met,
            "would_meet_429": self.would,
            "would_meet_429_within": within(self.would_doubt),
            "newly_refused": self.newly,
            "no_longer_refused": self.freed,
            "shadow_would_refuse": self.shadow,
            "by_limit": dict(self.by.most_common()),
        }


def within(doubt: int) -> int:
    """Return twice the standard error: what was sampled lies within it 95 times of 100."""
    return round(2 * sqrt(doubt))


class Replay:
    """Takes records in order of time, and tells what would have become of them."""

    def __init__(self, proposed: ProposedLimits, since_s: float, until_s: float) -> None:
        self._proposed = proposed
        self._limits = LocalLimits(lambda: 1, lambda _: 0)
        self._begun: dict[tuple[bytes, str], None] = {}
        self.since_s, self.until_s = since_s, until_s
        self.first_s: float | None = None
        self.rows: dict[tuple[str, str], Row] = {}
        self.slots = [[0, 0] for _ in range(SLOTS)]
        """429 met, and 429 that would be met."""
        self.records = self.unrecorded = self.unweighed = 0
        self.weights: set[int] = set()
        self.not_replayed: Counts[str] = Counts()

    def add(self, record: Record) -> None:
        """Decide again about what was recorded."""
        self.records += 1
        self.first_s = self.first_s or record["time"]
        self.unrecorded += record.get("unrecorded", 0)
        self.unweighed += "weight" not in record
        weight = record.get("weight", 1)
        was_refused = record["verdict"] == "refused"
        if was_refused and not record["limits"]:
            return  # of an unknown key, or a route that the plan has not: no limit was asked
        self.weights.add(weight)
        try:
            asked = self._proposed.asked({**record, "weight": weight})
            _check_fits(asked)
        except NotReplayed as reason:
            why = str(reason)
            if len(self.not_replayed) >= REASONS_MAX and why not in self.not_replayed:
                why = OTHER_REASONS
            self.not_replayed[why] += weight
            return
        refused, by, in_shadow = self._decided(asked, record, weight)
        self._count(record, weight, refused, by, in_shadow)

    def _decided(
        self, asked: Asked, record: Record, weight: int
    ) -> tuple[int, tuple[str, ...], bool]:
        """Return how many of the requests would be refused, by which limits, and whether limits in
        the shadow would refuse."""
        subject = asked.subject
        if not subject.limits:
            return 0, (), False
        now = round(record["time"] * SECOND_US)
        self._begin(asked, record, now)
        costs = tuple(cost * weight for cost in asked.costs)
        reply = self._limits.decide(subject, costs, now, 0)
        wanted = dict(zip(subject.units, costs, strict=True))
        lefts = list(zip(subject.limits, reply[1::2], strict=True))
        in_shadow = any(limit.shadow and left < 0 for limit, left in lefts)
        if reply[0]:
            return 0, (), in_shadow
        each = dict(zip(subject.units, asked.costs, strict=True))
        refusing = [
            (limit, left) for limit, left in lefts if not limit.shadow and left < wanted[limit.unit]
        ]
        fit = min((left // each[limit.unit] for limit, left in refusing), default=0)
        if fit and weight > 1:
            part = tuple(cost * fit for cost in asked.costs)
            fit *= self._limits.decide(subject, part, now, 0)[0]
        return weight - fit, tuple(limit.name for limit, _ in refusing), in_shadow

    def _begin(self, asked: Asked, record: Record, now: int) -> None:
        """Let a quota begin with what had been spent when it is first seen: the record tells what
        was left of the one of its name. All else begins full."""
        for counter in asked.subject.counters:
            for limit in counter.limits:
                key = counter.state, limit.name
                if not isinstance(limit, Quota) or key in self._begun:
                    continue
                if len(self._begun) >= BEGUN_MAX:
                    del self._begun[next(iter(self._begun))]
                self._begun[key] = None
                spent = min(_spent_before(record, limit.name, limit.unit), limit.quota.count)
                if spent:
                    alone = compiled_subject((Counter(counter.state, (limit,)),), (limit.unit,))
                    self._limits.decide(alone, (spent,), now, 0)

    def _count(
        self, record: Record, weight: int, refused: int, by: tuple[str, ...], in_shadow: bool
    ) -> None:
        key = record["tenant"] or "-", record["key_id"] or "-"
        if key not in self.rows and len(self.rows) >= ROWS_MAX:
            key = OTHERS, OTHERS
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row(key[0], self._proposed.key_name(key[1]))
        was_admitted = record["verdict"] == "admitted"
        met = weight if record["status"] == TOO_MANY and not was_admitted else 0
        row.requests += weight
        row.met += met
        row.would += refused
        row.newly += refused if was_admitted else 0
        row.freed += max(0, met - refused)
        row.shadow += weight * in_shadow
        row.by.update(dict.fromkeys(by, refused))
        row.doubt += weight * (weight - 1)
        row.would_doubt += refused * (refused - 1)
        length_s = max(1e-3, self.until_s - self.since_s)
        slot = int((record["time"] - self.since_s) / length_s * SLOTS)
        counts = self.slots[min(max(slot, 0), SLOTS - 1)]
        counts[0] += met
        counts[1] += refused


def _check_fits(asked: Asked) -> None:
    """Raise NotReplayed for a request that is refused with 403, whatever is left."""
    subject = asked.subject
    for limit, capacity, place in zip(
        subject.limits, subject.capacities, subject.unit_of, strict=True
    ):
        if asked.costs[place] > capacity and not limit.shadow:
            raise NotReplayed(
                f'requests cost more than the limit "{limit.name}" ever holds: they would meet 403'
            )


def _spent_before(record: Record, name: str, unit: str) -> int:
    cost = record["cost"] if unit == REQUESTS else record.get("costs", {}).get(unit, 0)
    own = cost if record["verdict"] == "admitted" else 0
    for limit in record["limits"]:
        if limit["name"] == name:
            return max(0, int(limit["capacity"] - limit["remaining"] - own))
    return 0


async def in_order(records: AsyncIterator[Record]) -> AsyncIterator[Record]:
    """Yield records by their time: workers append them a little later, each its own."""
    waiting: list[tuple[float, int, Record]] = []
    number = 0
    async for record in records:
        number += 1
        heapq.heappush(waiting, (record["time"], number, record))
        while waiting[0][0] < record["time"] - LATE_S or len(waiting) > WAITING_MAX:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
