"""Commands of a Cluster that nobody can take at the moment: tried again until their deadlines.

A slot's new server may be named before the link to it is there, and keys on their way answer
TRYAGAIN. Few milliseconds decide, so one timer tries all that wait every PERIOD_S. Bounded: what
comes beyond is refused as if it had not waited.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tidegate.store.errors import fail, unavailable
from tidegate.store.redirects import Routed

PERIOD_S: Final = 0.005
PARKED_MAX: Final = 4096
"""Half of what one link lets wait."""

Route = Callable[[asyncio.Future[Any], float, Routed], bool]
"""Sends a command, or returns False: not yet."""


class Parked:
    def __init__(self, route: Route) -> None:
        self._route = route
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Any], float, Routed]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiter: asyncio.Future[Any], deadline: float, routed: Routed) -> bool:
        """Keep a command for later; False if too many wait already."""
        if len(self._waiting) >= PARKED_MAX:
            return False
        self._waiting.append((waiter, deadline, routed))
        if self._timer is None:
            self._timer = self._loop.call_later(PERIOD_S, self._send)
        return True

    def send_soon(self) -> None:
        """Try now: something has changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(0, self._send)

    def close(self) -> None:
        """Fail whoever waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            fail(self._waiting.popleft()[0], unavailable("The store's connection was closed"))

    def _send(self) -> None:
        self._timer = None
        now = self._loop.time()
        for _ in range(len(self._waiting)):
            waiter, deadline, routed = self._waiting.popleft()
            if waiter.done():
                continue
            if now >= deadline:
                why = f"Slot {routed.slot} of the Cluster is changing its server"
                fail(waiter, unavailable(why))
            elif not self._route(waiter, deadline, routed):
                self._waiting.append((waiter, deadline, routed))
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(PERIOD_S, self._send)
