"""One coarse timer for many deadlines: it ticks often while something is under way.

A timer for each request would cost more than the request's other bookkeeping; a comparison each
100 ms costs nothing that can be measured, and makes a timeout late by at most that much.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

BUSY_INTERVAL_S: Final = 0.1
RESTING_INTERVAL_S: Final = 1.0


class Pace(Enum):
    """What is left to watch."""

    BUSY = BUSY_INTERVAL_S
    RESTING = RESTING_INTERVAL_S
    """Idle connections alone."""
    STOPPED = None


class Sweep:
    """Calls `tick(now_s)` at the pace that the last call asked for."""

    def __init__(self, tick: Callable[[float], Pace]) -> None:
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self.pace = Pace.STOPPED

    def hurry(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something with a deadline is under way. Call it where `pace` is not BUSY."""
        self.stop()
        self._schedule(loop, Pace.BUSY)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.pace = Pace.STOPPED

    def _schedule(self, loop: asyncio.AbstractEventLoop, pace: Pace) -> None:
        self.pace = pace
        if pace.value is not None:
            self._timer = loop.call_later(pace.value, self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._schedule(loop, self._tick(loop.time()))
