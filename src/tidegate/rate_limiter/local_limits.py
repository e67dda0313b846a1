"""One worker's limits while the store is away: its parts, made when they are first needed.

A part begins with what the store said last was left, as if it had been counted in parts from then
on; without such a word it begins full. What several subjects count in is one part for all of them,
and the lowest word holds. Bounded: the part that was not used for longest is forgotten.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from tidegate.config.schema import Concurrency, Limit, Quota, SlidingWindow
from tidegate.rate_limiter.calendars import Calendar, calendar_of, windows_around
from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.local import (
    SECOND_US,
    BucketPart,
    LeasePart,
    Part,
    QuotaPart,
    WindowPart,
    decide,
)
from tidegate.rate_limiter.numbers import capacity, units

PARTS_MAX: Final = 20_000
"""About 0.5 KB each: 10,000 subjects of two limits."""


class Place(NamedTuple):
    """A limit, and the state in which it counts."""

    state: bytes
    limit: Limit


class LocalLimits:
    """Of one worker. `workers` tells how many there are, as last known, `held` how many requests
    run here that have a lease in a set of the store's.
    """

    def __init__(self, workers: Callable[[], int], held: Callable[[bytes], int]) -> None:
        self._workers = workers
        self._held = held
        self._parts: dict[Place, Part] = {}
        self._said: dict[Subject, float] = {}
        """By subject, which word of the store its parts have taken."""

    def decide(self, subject: Subject, costs: Costs, now: int, said_at: int) -> list[int]:
        """Return what the script would reply, less a lease; `said_at` is when the store said its
        last, in µs since 1970 as `now` is.
        """
        parts = self._parts_of(subject)
        figures, at = subject.last
        if figures and self._said.get(subject) != at:
            self._said.pop(subject, None)
            _make_room(self._said)
            self._said[subject] = at
            for part, remaining in zip(parts, figures[::2], strict=True):
                part.learn(remaining, said_at)
        wants = [costs[unit] for unit in subject.unit_of]
        wants[subject.first_lease :] = [1] * (len(parts) - subject.first_lease)
        shadows = {place for place, limit in enumerate(subject.limits) if limit.shadow}
        return decide(parts, wants, now, shadows)

    def places(self) -> list[Place]:
        """Return where something may have been spent."""
        return list(self._parts)

    def unsettled(self, place: Place, now: int) -> int:
        """Return how much was admitted there that counts still and the store does not know."""
        part = self._parts.get(place)
        return 0 if part is None else part.unsettled(now)

    def settle(self, place: Place, amount: int, now: int) -> None:
        """Take that the store knows of it."""
        if part := self._parts.get(place):
            part.settle(amount, now)

    def forget(self) -> None:
        self._parts.clear()
        self._said.clear()

    def _parts_of(self, subject: Subject) -> list[Part]:
        """Return a part for each limit, in the order of the reply."""
        leases = dict(zip(subject.limits[subject.first_lease :], subject.leases, strict=True))
        return [
            self._part(counter.state, limit, leases.get(limit, (b"", 0))[0])
            for counter in subject.counters
            for limit in counter.limits
        ]

    def _part(self, state: bytes, limit: Limit, leases: bytes) -> Part:
        key = Place(state, limit)
        part = self._parts.pop(key, None)
        if part is None:
            _make_room(self._parts)
            part = _made(limit, max(1, self._workers()), partial(self._held, leases))
        self._parts[key] = part  # at the end: used last
        return part


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


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= PARTS_MAX:
        del kept[next(iter(kept))]
