"""One worker's limits while the store is away: its parts, made when they are first needed.

A part begins with what the store said last was left, as if it had been counted in parts from then
on; without such a word it begins full. What several subjects count in is one part for all of them,
and the lowest word holds. Bounded: the part that was not used for longest is forgotten.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from tidegate.config.limits import SlidingWindow
from tidegate.config.schema import Limit, Quota
from tidegate.config.units import Rate
from tidegate.rate_limiter.limits import Costs, Counter, Subject, capacity, units
from tidegate.rate_limiter.local import SECOND_US, BucketPart, Part, QuotaPart, WindowPart, decide

PARTS_MAX: Final = 20_000
"""About 0.5 KB each: 10,000 subjects of two limits."""


class Spent(NamedTuple):
    """What was admitted here and the store does not know."""

    counter: Counter
    """One limit, where it counts."""
    amount: int


class LocalLimits:
    """Of one worker. `workers` tells how many there are, as last known."""

    def __init__(self, workers: Callable[[], int]) -> None:
        self._workers = workers
        self._parts: dict[tuple[bytes, Limit], Part] = {}
        self._said: dict[Subject, float] = {}
        """By subject, which word of the store its parts have taken."""

    def decide(self, subject: Subject, costs: Costs, now: int, said_at: int) -> list[int]:
        """Return what the script would reply; `said_at` is when the store said its last, in µs
        since 1970 as `now` is.
        """
        parts = [
            self._part(counter.state, limit)
            for counter in subject.counters
            for limit in counter.limits
        ]
        figures, at = subject.last
        if figures and self._said.get(subject) != at:
            self._said[subject] = at
            for part, remaining in zip(parts, figures[::2], strict=True):
                part.learn(remaining, said_at)
        by_unit = dict(zip(subject.units, costs, strict=True))
        return decide(parts, [by_unit[limit.unit] for limit in subject.limits], now)

    def spent(self, now: int) -> Iterator[Spent]:
        """Yield what the store is to be told, now that it is back."""
        for (state, limit), part in self._parts.items():
            if amount := part.unsettled(now):
                yield Spent(Counter(state, (limit,)), amount)

    def forget(self) -> None:
        self._parts.clear()
        self._said.clear()

    def _part(self, state: bytes, limit: Limit) -> Part:
        key = state, limit
        part = self._parts.pop(key, None)
        if part is None:
            if len(self._parts) >= PARTS_MAX:
                del self._parts[next(iter(self._parts))]
            part = _made(limit, max(1, self._workers()))
        self._parts[key] = part  # at the end: used last
        return part


def _made(limit: Limit, parts: int) -> Part:
    if isinstance(limit, SlidingWindow):
        return WindowPart(capacity(limit), limit.rate.period_s * SECOND_US, parts)
    if isinstance(limit, Quota):
        return QuotaPart(capacity(limit), partial(_window_end, limit.quota), parts)
    _, rate, emission = units(limit)
    return BucketPart(capacity(limit), rate, emission, parts)


def _window_end(quota: Rate, now: int) -> int:
    """Return when the calendar period around `now` ends, in UTC."""
    if quota.period != "month":
        length = quota.period_s * SECOND_US
        return now - now % length + length
    day = datetime.fromtimestamp(now // SECOND_US, UTC)
    following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp()) * SECOND_US
