"""One worker's limits while the store is away: its parts, made when they are first needed.

A part begins with what the store said last was left, as if it had been counted in parts from then
on; without such a word it begins full. What several subjects count in is one part for all of them,
and the lowest word holds. Bounded: the part that was not used for longest is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from tidegate.config.schema import Concurrency, Limit, Quota, SlidingWindow
from tidegate.rate_limiter.calendars import Calendar, calendar_of, windows_around
from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.local import (
    BucketPart,
    LeasePart,
    Part,
    QuotaPart,
    WindowPart,
    decide,
)
from tidegate.rate_limiter.numbers import capacity, units
from tidegate.rate_limiter.units import SECOND_US

PARTS_MAX: Final = 20_000
"""About 0.5 KB each: 10,000 subjects of two limits."""


class Place(NamedTuple):
    """A limit, and the state in which it counts."""

    state: bytes
    limit: Limit


@dataclass(slots=True)
class _Kept:
    part: Part
    said: float = 0.0
    """Of when the latest word of the store is that it has taken: one made anew takes it again."""


class LocalLimits:
    """Of one worker. `workers` tells how many there are, as last known, `held` how many requests
    run here that have a lease in a set of the store's.
    """

    def __init__(self, workers: Callable[[], int], held: Callable[[bytes], int]) -> None:
        self._workers = workers
        self._held = held
        self._parts: dict[Place, _Kept] = {}

    def decide(self, subject: Subject, costs: Costs, now: int, said_at: int) -> list[int]:
        """Return what the script would reply, less a lease; `said_at` is when the store said its
        last, in µs since 1970 as `now` is.
        """
        kept = self._parts_of(subject)
        figures, at = subject.last
        if figures:
            for each, remaining in zip(kept, figures[::2], strict=True):
                if each.said < at:
                    each.said = at
                    each.part.learn(remaining, said_at)
        parts = [each.part for each in kept]
        wants = [costs[unit] for unit in subject.unit_of]
        wants[subject.first_lease :] = [1] * (len(parts) - subject.first_lease)
        shadows = {place for place, limit in enumerate(subject.limits) if limit.shadow}
        return decide(parts, wants, now, shadows)

    def places(self) -> list[Place]:
        """Return where something may have been spent."""
        return list(self._parts)

    def unsettled(self, place: Place, now: int) -> int:
        """Return how much was admitted there that counts still and the store does not know."""
        kept = self._parts.get(place)
        return 0 if kept is None else kept.part.unsettled(now)

    def settle(self, place: Place, amount: int, now: int) -> None:
        """Take that the store knows of it."""
        if kept := self._parts.get(place):
            kept.part.settle(amount, now)

    def forget(self) -> None:
        self._parts.clear()

    def _parts_of(self, subject: Subject) -> list[_Kept]:
        """Return a part for each limit, in the order of the reply."""
        leases = dict(zip(subject.limits[subject.first_lease :], subject.leases, strict=True))
        return [
            self._part(counter.state, limit, leases.get(limit, (b"", 0))[0])
            for counter in subject.counters
            for limit in counter.limits
        ]

    def _part(self, state: bytes, limit: Limit, leases: bytes) -> _Kept:
        key = Place(state, limit)
        kept = self._parts.pop(key, None)
        if kept is None:
            if len(self._parts) >= PARTS_MAX:
                del self._parts[next(iter(self._parts))]
            part = _made(limit, max(1, self._workers()), partial(self._held, leases))
            kept = _Kept(part)
        self._parts[key] = kept  # at the end: used last
        return kept


def _made(limit: Limit, parts: int, held: Callable[[], int]) -> Part:
    _, rate, emission = units(limit)
    whole = capacity(limit)
    match limit:
        case SlidingWindow():
            return WindowPart(whole, emission, parts)
        case Quota():
            return QuotaPart(whole, partial(_window_end, limit), parts)
        case Concurrency():
            return LeasePart(whole, emission, parts, held)
        case _:
            return BucketPart(whole, rate, emission, parts)


def _window_end(quota: Quota, now: int) -> int:
    """Return when the calendar period around `now` ends."""
    calendar = calendar_of(quota)
    if calendar is None and quota.quota.period != "month":
        length = quota.quota.period_s * SECOND_US
        return now - now % length + length
    return windows_around(calendar or Calendar("month", "UTC", 1), now).end
