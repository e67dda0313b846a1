"""The store is back, and is told what was admitted without it: a few limits at a time.

What is told is what the store would know by now: of a bucket the debt that has not drained since,
of a quota and a window what lies in the present one. So nobody is charged for what time has made
good. What a worker spent that dies meanwhile is told by nobody. A charge whose answer did not come
is told again: if the store made it all the same, it is charged twice.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tidegate.rate_limiter.local_limits import LocalLimits, Place

SETTLED_MAX: Final = 200
"""At a time: about 2 ms of the store's work, and few of the commands that may wait for it."""

Charge = Callable[[Place, int], asyncio.Future[Any] | None]
"""Queues a charge of a limit; None where there is nothing to do."""


class Recovery:
    def __init__(self, local: LocalLimits, charge: Charge) -> None:
        self._local = local
        self._charge = charge
        self._places: deque[Place] = deque()

    def begin(self) -> None:
        """Take all that was decided here so far."""
        self._places = deque(self._local.places())

    def go_on(self, now: int) -> bool:
        """Settle some; return whether there is more."""
        charged = 0
        while self._places and charged < SETTLED_MAX:
            place = self._places.popleft()
            if amount := self._local.unsettled(place, now):
                charged += 1
                # Known from here on, so that it is told once; unless the store's answer fails.
                self._local.settle(place, amount, now)
                if answer := self._charge(place, amount):
                    answer.add_done_callback(partial(self._taken_back, place, amount, now))
        return bool(self._places)

    def _taken_back(self, place: Place, amount: int, now: int, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            self._local.settle(place, -amount, now)
            self._places.append(place)
