"""The numbers of one route in one worker: plain ints, floats, lists and dicts.

Written on the event loop, read by a snapshot in the same thread, so there is no lock. Labels are
names of the configuration and status codes; nothing that a client chooses becomes a key, except
that a known caller has one entry in `usage` until the next flush.
"""

from typing import Any, Final, Protocol

BOUNDS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0
)  # fmt: skip
"""Upper bounds of the buckets, in seconds: from a trip to a local store to a slow service."""

GATEWAY: Final = "gateway"
CACHE: Final = "cache"
UPSTREAM: Final = "upstream"

Histogram = list[float]
"""How many observations fell into each bucket, one more for those above all, then their sum."""


class Caller(Protocol):
    """Whose request it was. Compared by identity."""

    @property
    def tenant(self) -> str: ...

    @property
    def plan(self) -> str: ...

    @property
    def key_id(self) -> str: ...


Record = tuple[Any, str, int, int, float]
"""A request that has ended and is not yet folded in: the pipeline's facts about it, its method,
status, bytes sent, and by `perf_counter` when its answer's head was there."""

Usage = dict[Caller, list[int]]
"""For each caller: requests, of these refused, bytes of bodies sent."""


def new_histogram() -> Histogram:
    return [0] * (len(BOUNDS_S) + 1) + [0.0]


class Meter:
    """What is counted for one route; `service` and `route` are empty where none was found."""

    __slots__ = (
        "aborted",
        "bytes",
        "cache",
        "gateway_s",
        "limited",
        "records",
        "refused",
        "route",
        "service",
        "statuses",
        "store_s",
        "upstream_s",
        "usage",
    )

    def __init__(self, service: str, route: str) -> None:
        self.service = service
        self.route = route
        self.statuses: dict[str, dict[int, int]] = {GATEWAY: {}, CACHE: {}, UPSTREAM: {}}
        """Answers by source and status."""
        self.gateway_s = new_histogram()
        self.store_s = new_histogram()
        self.upstream_s = new_histogram()
        self.limited = 0
        """Decisions of the limits, of which `refused` were no."""
        self.refused = 0
        self.cache: dict[str, int] = {}
        self.bytes = 0
        self.aborted = 0
        self.usage: Usage = {}
        self.records: list[Record] = []

    def take_usage(self) -> Usage:
        """Return what was counted since the last call."""
        usage = self.usage
        if usage:
            self.usage = {}
        return usage
