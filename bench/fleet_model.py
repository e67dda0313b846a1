"""A fleet of gateways before one limit, event by event: exact, regional, leased and local.

Arithmetic alone: times are simulated seconds, nothing is measured here. What a store is, and what
distance costs, are `Inputs`; what clients ask is an iterator of (time, gateway). Admissions are
held against one bucket that costs nothing to ask: what it would have admitted, and by how much at
most the fleet was ahead of burst + rate * time.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.fleet_traffic import REGIONS, Arrival

ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Inputs:
    store_s: float
    """One decision in the store, which makes one at a time."""
    near_s: float
    """One way between a gateway and a store of its region."""
    far_s: float
    """One way to another region."""


class Bucket:
    """`burst` tokens, and `rate` more a second."""

    __slots__ = ("_at", "burst", "rate", "tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self._at = rate, burst, burst, 0.0

    def take(self, wanted: int, now: float) -> int:
        """Take so many tokens, or as many as there are."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)
        taken = min(wanted, int(self.tokens + ROUNDING))
        self.tokens -= taken
        return taken

    def take_whole(self, wanted: int, now: float) -> int:
        """Take so many tokens, or none."""
        self.take(0, now)
        return self.take(wanted, now) if self.tokens + ROUNDING >= wanted else 0

    def give_back(self, count: int) -> None:
        self.tokens = min(self.burst, self.tokens + count)


class Ahead:
    """By how much admissions were ahead of burst + rate * time, at worst."""

    __slots__ = ("_at", "_burst", "_debt", "_rate", "most")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._debt, self._at, self.most = rate, burst, 0.0, 0.0, 0.0

    def admit(self, now: float) -> None:
        self._debt = max(0.0, self._debt - max(0.0, now - self._at) * self._rate) + 1
        self._at = max(self._at, now)
        self.most = max(self.most, self._debt - self._burst)


class Outcome(NamedTuple):
    asked: int
    admitted: int
    allowed: int
    """What one bucket that costs nothing to ask would have admitted."""
    ahead: float
    """At worst, in tokens beyond burst + rate * time."""
    store_calls: int
    latencies_s: list[float]


class Fleet:
    """Decides on arrivals in order of time; a subclass says how."""

    stores = 1

    def __init__(self, gateways: int, rate: float, burst: float, inputs: Inputs) -> None:
        self.gateways, self.rate, self.burst, self.inputs = gateways, rate, burst, inputs
        self.events: list[tuple[float, int, int, float, int]] = []
        """When, a number that keeps the order, which gateway, since when it waits, how many."""
        self._number = 0
        self.ahead = Ahead(rate, burst)
        self.admitted = self.store_calls = 0
        self.latencies_s: list[float] = []
        self._free_at = [0.0] * self.stores
        self.buckets = [
            Bucket(rate / self.stores, max(1.0, burst / self.stores)) for _ in range(self.stores)
        ]

    def run(self, arrivals: Iterable[Arrival]) -> Outcome:
        ideal = Bucket(self.rate, self.burst)
        asked = allowed = 0
        for now, gateway in arrivals:
            asked += 1
            allowed += ideal.take(1, now)
            self._until(now)
            self.arrive(gateway, now)
        self._until(float("inf"))
        return Outcome(
            asked, self.admitted, allowed, self.ahead.most, self.store_calls, self.latencies_s
        )

    def _until(self, now: float) -> None:
        while self.events and self.events[0][0] <= now:
            at, _, gateway, since, count = heapq.heappop(self.events)
            self.happen(gateway, at, since, count)

    def later(self, at: float, gateway: int, since: float, count: int) -> None:
        self._number += 1
        heapq.heappush(self.events, (at, self._number, gateway, since, count))

    def arrive(self, gateway: int, now: float) -> None:
        raise NotImplementedError

    def happen(self, gateway: int, now: float, since: float, count: int) -> None:
        raise NotImplementedError

    def distance_s(self, gateway: int) -> float:
        """One way to the store that this gateway asks."""
        return self.inputs.far_s if gateway % REGIONS else self.inputs.near_s

    def served_at(self, store: int, now: float) -> float:
        """Return when the store is done with what reaches it now: it does one at a time."""
        self.store_calls += 1
        self._free_at[store] = max(now, self._free_at[store]) + self.inputs.store_s
        return self._free_at[store]

    def answer(self, is_admitted: bool, now: float, latency_s: float) -> None:
        self.latencies_s.append(latency_s)
        if is_admitted:
            self.admitted += 1
            self.ahead.admit(now)


class Exact(Fleet):
    """Each request asks the one store."""

    def store_of(self, gateway: int) -> int:
        return 0

    def arrive(self, gateway: int, now: float) -> None:
        self.later(now + self.distance_s(gateway), gateway, now, 1)

    def happen(self, gateway: int, now: float, since: float, count: int) -> None:
        store = self.store_of(gateway)
        done = self.served_at(store, now)
        admits = self.buckets[store].take(1, done) == 1
        self.answer(admits, done, done + self.distance_s(gateway) - since)


class Regional(Exact):
    """Exact in each region, with a store and a third of the limit of its own."""

    stores = REGIONS

    def store_of(self, gateway: int) -> int:
        return gateway % REGIONS

    def distance_s(self, gateway: int) -> float:
        return self.inputs.near_s


class Local(Fleet):
    """Nobody is asked: each gateway has its share."""

    def __init__(self, gateways: int, rate: float, burst: float, inputs: Inputs) -> None:
        super().__init__(gateways, rate, burst, inputs)
        share = rate / gateways, max(1.0, burst / gateways)
        self.buckets = [Bucket(*share) for _ in range(gateways)]

    def arrive(self, gateway: int, now: float) -> None:
        self.answer(self.buckets[gateway].take(1, now) == 1, now, 0.0)
