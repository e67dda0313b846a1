"""Single flight within a worker: of concurrent misses, one asks the service and the others wait.

A flight belongs to one key, and the key to one tenant. It lands once, with a stored response to
share, or with word that everyone goes on alone: waiters are let go all at once and never one after
the other. A leader that is cancelled hands on to one of them. What could not be shared lately is
not waited for again.
"""

import asyncio
import time
from collections.abc import Hashable
from enum import Enum
from typing import Final

from tidegate.cache.stored import Stored

WAIT_S_MAX: Final = 5.0
"""A waiter waits no longer for a leader, then asks by itself."""
STREAM_S_MAX: Final = 1.0
"""From the head on, for a body that comes in pieces: a leader's slow client is nobody else's."""
ALONE_S: Final = 10.0
ALONE_MAX: Final = 4096


class Landing(Enum):
    """How a flight ends that brings nothing to share."""

    ALONE = "alone"
    """The answer may not be shared: everyone asks for himself, the next ones at once."""
    FAILED = "failed"
    """There is no answer: everyone asks for himself."""
    HANDED_ON = "handed on"
    """The leader was cancelled: one of the waiters leads now."""
    LOOK = "look"
    """It is in the store, too large to be handed over."""


class Flight:
    """`landed` is done when it is known what the waiters get."""

    __slots__ = ("_flights", "_timer", "key", "landed")

    def __init__(self, flights: "Flights", key: Hashable) -> None:
        self._flights = flights
        self._timer: asyncio.TimerHandle | None = None
        self.key = key
        self.landed: asyncio.Future[Stored | Landing] = asyncio.get_running_loop().create_future()

    def land(self, outcome: Stored | Landing) -> None:
        """Let the waiters go. Only the first call counts."""
        if self.landed.done():
            return
        self.landed.set_result(outcome)
        self._flights.ended(self, is_alone=outcome is Landing.ALONE)
        if self._timer is not None:
            self._timer.cancel()

    def expect_body(self) -> None:
        """The body comes in pieces: bound how long others wait for it."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(STREAM_S_MAX, self.land, Landing.ALONE)

    async def wait(self, timeout_s: float) -> Stored | Landing:
        """Return what the flight brought; ALONE if it takes too long."""
        await asyncio.wait((self.landed,), timeout=timeout_s)
        return self.landed.result() if self.landed.done() else Landing.ALONE


class Flights:
    def __init__(self) -> None:
        self._under_way: dict[Hashable, Flight] = {}
        self._alone_until: dict[int, float] = {}
        """By the hash of a key, not the key: clients choose how long that is. Two keys of one hash
        cost a fetch that could have been shared."""

    def __len__(self) -> int:
        return len(self._under_way)

    async def brought(self, key: Hashable) -> Stored | Landing | None:
        """Wait for who asks the same; return what he brought. None: nobody asks any more.

        Of those who wait for a leader that was cancelled, the first leads, the others wait on.
        """
        deadline = time.monotonic() + WAIT_S_MAX
        while (flight := self._under_way.get(key)) is not None:
            landed = await flight.wait(deadline - time.monotonic())
            if landed is not Landing.HANDED_ON:
                return landed
        return None

    def begin(self, key: Hashable) -> Flight | None:
        """Lead; None where somebody does, or where answers could not be shared lately."""
        if key in self._under_way:
            return None
        until = self._alone_until.get(hash(key))
        if until is not None:
            if time.monotonic() < until:
                return None
            del self._alone_until[hash(key)]
        flight = self._under_way[key] = Flight(self, key)
        return flight

    def ended(self, flight: Flight, *, is_alone: bool) -> None:
        if self._under_way.get(flight.key) is flight:
            del self._under_way[flight.key]
        if is_alone:
            self.note_alone(flight.key)

    def note_alone(self, key: Hashable) -> None:
        """Nobody shall wait for answers to `key` for a while."""
        if len(self._alone_until) >= ALONE_MAX:
            self._alone_until.clear()
        self._alone_until[hash(key)] = time.monotonic() + ALONE_S
