"""Whose turn it is to have a key looked up, of all who come from one address.

No more look-ups run at once than the address has failures left; who comes beyond that waits, first
come first served. A place that comes free goes to whoever has waited longest, before anyone new can
take it; when no failure is left, all who wait are refused at once. Knows neither clock nor store:
what is left is told. Somebody waits only while a look-up runs, so each end of one wakes who may go.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

WAITING_MAX: Final = 1000
"""More than a worker is asked (12,000 times a second, docs/performance.md) in the 50 ms that one
look-up may take at most. They add little to what their requests hold: a future and a timer each."""

HAS_PLACE: Final = 0


class Turns:
    """Of one address; to be forgotten when `is_idle`."""

    __slots__ = ("_running", "_waiting")

    def __init__(self) -> None:
        self._running = 0
        self._waiting: deque[asyncio.Future[int]] = deque()

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._waiting

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= WAITING_MAX

    def take(self, left: int) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self._waiting or self._running >= left:
            return False
        self._running += 1
        return True

    def queue(self) -> asyncio.Future[int]:
        """Wait for a place: HAS_PLACE, or after how many seconds to try again."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def abandon(self, waiter: asyncio.Future[int]) -> bool:
        """Give up waiting; return whether there was a place by then, which is still to be ended."""
        if waiter.done() and not waiter.cancelled():
            return waiter.result() == HAS_PLACE
        with suppress(ValueError):  # its turn came after it was cancelled
            self._waiting.remove(waiter)
        return False

    def end(self) -> bool:
        """Give a place back; return whether somebody waits, so that `pass_on` must follow."""
        self._running -= 1
        return bool(self._waiting)

    def pass_on(self, left: int, wait_s: int) -> None:
        """Let go who may go now that `left` failures are left; with none, refuse all who wait.

        `wait_s` is when those who are refused may try again.
        """
        while self._waiting and (left == 0 or self._running < left):
            waiter = self._waiting.popleft()
            if waiter.done():  # it was cancelled, and has not come to its `abandon` yet
                continue
            if left == 0:
                waiter.set_result(wait_s)
            else:
                self._running += 1
                waiter.set_result(HAS_PLACE)
