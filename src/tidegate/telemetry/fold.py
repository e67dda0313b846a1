"""From the records of some requests to the sums of their route, many at a time.

What a request itself pays is one tuple; here the columns of a batch are taken together, by sums,
sorts and counts that run in C, at a third of what counting each request by itself cost. The store's
share of a wait is the last measured trip, for the rest the request waited for its turn.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from operator import add, attrgetter, sub
from typing import Any, Final

from tidegate.telemetry.meters import (
    BOUNDS_S,
    GATEWAY,
    UPSTREAM,
    Caller,
    Histogram,
    Meter,
    Record,
)

REFUSALS: Final = frozenset((401, 403, 429))
"""Statuses by which the gateway itself refuses a caller."""
CALLERS_MAX: Final = 20_000
"""Callers of one route whose usage is kept between two flushes."""
_FEW: Final = 16
"""Values that are counted faster one by one."""

_described = attrgetter("source", "caller", "cache_status")
_caller_of = attrgetter("caller")
_started_at = attrgetter("started_at")
_decided_at = attrgetter("decided_at")
_forwarded_at = attrgetter("forwarded_at")


def fold(meter: Meter, records: list[Record], trip_s: float) -> int:
    """Add `records` to `meter`; return how many had to be left out of the usage."""
    facts, _, statuses, sizes, answered = zip(*records, strict=True)
    sent = sum(sizes)
    meter.bytes += sent
    callers: set[Caller | None] = set()
    sources: set[str] = set()
    lost = 0
    counts = Counter(zip(map(_described, facts), statuses, strict=True))
    for ((source, caller, verdict), status), count in counts.items():
        sources.add(source)
        by_status = meter.statuses[source]
        by_status[status] = by_status.get(status, 0) + count
        if verdict is not None:
            meter.cache[verdict] = meter.cache.get(verdict, 0) + count
        callers.add(caller)
        if caller is not None:
            lost += _used(meter, caller, count, source == GATEWAY and status in REFUSALS)
    if len(callers) == 1:
        _sent(meter, callers.pop(), sent)
    else:
        for (caller, size), count in Counter(
            zip(map(_caller_of, facts), sizes, strict=True)
        ).items():
            _sent(meter, caller, size * count)
    if len(sources) == 1 and not any(map(_forwarded_at, facts)):
        _fold_alike(meter, facts, answered, trip_s, is_forwarded=UPSTREAM in sources)
    else:
        _fold_times(meter, facts, answered, trip_s)
    return lost


def _fold_alike(
    meter: Meter,
    facts: Sequence[Any],
    answered: Sequence[float],
    trip_s: float,
    *,
    is_forwarded: bool,
) -> None:
    """Split the times of requests that went the same way: sent on when the limits had decided, or
    answered by the gateway.
    """
    decided = list(map(_decided_at, facts))
    started = map(_started_at, facts)
    if 0.0 in decided:
        if is_forwarded or any(decided):
            _fold_times(meter, facts, answered, trip_s)
        else:
            _add(meter.gateway_s, list(map(sub, answered, started)))
        return
    meter.limited += len(facts)
    waits = list(map(sub, decided, started))
    _add(meter.store_s, [wait_s if wait_s < trip_s else trip_s for wait_s in waits])
    rests = list(map(sub, answered, decided))
    own = [max(0.0, wait_s - trip_s) for wait_s in waits]
    _add(meter.gateway_s, own if is_forwarded else list(map(add, own, rests)))
    if is_forwarded:
        _add(meter.upstream_s, rests)


def _fold_times(
    meter: Meter, facts: Sequence[Any], answered: Sequence[float], trip_s: float
) -> None:
    """Split the times of requests that went different ways."""
    gateway: list[float] = []
    store: list[float] = []
    upstream: list[float] = []
    for fact, ended_at in zip(facts, answered, strict=True):
        store_s, upstream_s = parts_of(fact, ended_at, trip_s)
        gateway.append(ended_at - fact.started_at - store_s - upstream_s)
        if fact.decided_at:
            store.append(store_s)
        if fact.forwarded_at or fact.source == UPSTREAM:
            upstream.append(upstream_s)
    meter.limited += len(store)
    _add(meter.gateway_s, gateway)
    _add(meter.store_s, store)
    _add(meter.upstream_s, upstream)


def parts_of(facts: Any, answered_at: float, trip_s: float) -> tuple[float, float]:
    """Return how many seconds of one request were the store's and how many the upstream's."""
    started_at, decided_at, forwarded_at = facts.started_at, facts.decided_at, facts.forwarded_at
    store_s = min(trip_s, decided_at - started_at) if decided_at else 0.0
    if not forwarded_at and facts.source != UPSTREAM:
        return store_s, 0.0
    return store_s, answered_at - (forwarded_at or decided_at or started_at)


def _used(meter: Meter, caller: Caller, count: int, is_refused: bool) -> int:
    """Charge `count` requests; return how many there was no room for."""
    usage = meter.usage
    if caller not in usage:
        if len(usage) >= CALLERS_MAX:
            return count
        usage[caller] = [0, 0, 0]
    amounts = usage[caller]
    amounts[0] += count
    if is_refused:
        amounts[1] += count
    return 0


def _sent(meter: Meter, caller: Caller | None, size: int) -> None:
    if caller is not None and caller in meter.usage:
        meter.usage[caller][2] += size


def _add(histogram: Histogram, values: list[float]) -> None:
    """Count each of `values` in its bucket, upper bounds included."""
    histogram[-1] += sum(values)
    if len(values) < _FEW:
        for value in values:
            histogram[bisect_left(BOUNDS_S, value)] += 1
        return
    values.sort()
    below = 0
    for index, bound in enumerate(BOUNDS_S):
        upto = bisect_right(values, bound, below)
        histogram[index] += upto - below
        below = upto
    histogram[len(BOUNDS_S)] += len(values) - below
