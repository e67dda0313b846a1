"""How long trips to the store take: from a write until its last reply is there, one at a time."""

from collections.abc import Callable
from time import perf_counter


class Trips:
    def __init__(self, on_trip: Callable[[float], None]) -> None:
        self._on_trip = on_trip
        self._left = 0
        self._from = 0.0

    def written(self, waiting: int) -> None:
        """Follow this write, if none is followed: `waiting` replies end it."""
        if not self._left:
            self._left = waiting
            self._from = perf_counter()

    def answered(self, replies: int) -> None:
        if self._left:
            self._left -= replies
            if self._left <= 0:
                self._left = 0
                self._on_trip(perf_counter() - self._from)
