"""The deadlines of what waits on one link, the doubt that a missed one casts, and the end of it.

One timer serves all. Who is due has failed; the store is asked to run a script then (breaker.py),
and where that is due too the link is condemned. Knows nothing of sending: it is given the waiters,
in the order in which they are answered, and the link's methods to queue and to end.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakMethod

from tidegate.store.breaker import PROBE
from tidegate.store.errors import fail, unavailable
from tidegate.store.redirects import Repeatable

SWEEP_PERIOD_S: Final = 0.005
"""Deadlines closer together than this share one firing of the timer, and are late by it at most."""
LATE_READ_S: Final = 0.002
"""A deadline that has passed is acted on only this much later, after one more poll for input: a
loop that was busy past it finds the reply in the socket instead of failing who waited."""
OVERDUE_S: Final = 1.0
"""A command unanswered for so long after its deadline condemns the link."""

Waiting = deque[tuple[asyncio.Future[Any], float, Repeatable | None]]
"""Waiter, deadline, and what can be sent again for it."""


class Deadlines:
    def __init__(
        self,
        waiting: Waiting,
        timeout_s: float,
        queue: Callable[[bytes], None],
        abort: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = waiting
        self._timeout_s = timeout_s
        # Weakly: the link holds its deadlines, and both would be a circle when it has ended.
        self._queue, self._abort = WeakMethod(queue), WeakMethod(abort)
        self.sweep_at = float("inf")
        """What is due earlier must say so: `no_later_than`."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._probe: asyncio.Future[Any] | None = None
        self.is_condemned = False
        """Whether the link ended because the store does not answer in time."""

    def no_later_than(self, when: float) -> None:
        """Look at what is due at this time, or earlier."""
        self._set(when, has_read=False)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _set(self, when: float, *, has_read: bool) -> None:
        self.close()
        self.sweep_at = when
        self._sweeper = self._loop.call_at(when, self._sweep, has_read)

    def _sweep(self, has_read: bool) -> None:
        """Fail who is due, doubt the store then, drop the link if its oldest command or the probe
        is hopeless, set the timer anew.

        Walks all that wait: order of asking is not order of deadlines. At most once in
        SWEEP_PERIOD_S, over WAITING_MAX of the link at most, and over few while the store is well.
        """
        self._sweeper = None
        self.sweep_at = float("inf")
        now = self._loop.time()
        if self._waiting and now >= self._waiting[0][1] + OVERDUE_S:
            self._condemn("The store stopped answering")
            return
        has_missed = False
        following = self._waiting[0][1] + OVERDUE_S if self._waiting else float("inf")
        for waiter, deadline, _ in self._waiting:
            if waiter.done():
                continue
            if deadline > now:
                following = min(following, deadline)
            elif waiter is self._probe and has_read:
                self._condemn("The store answers too slowly")
                return
            elif has_read:
                fail(waiter, unavailable("The store did not answer in time"))
                has_missed = True
            else:
                self._set(now + LATE_READ_S, has_read=True)
                return
        if has_missed and (self._probe is None or self._probe.done()):
            self._ask(now + self._timeout_s)
            following = min(following, now + self._timeout_s)
        if following < float("inf"):
            self.no_later_than(max(following, now + SWEEP_PERIOD_S))

    def _ask(self, deadline: float) -> None:
        """Have the store prove that it runs scripts."""
        self._probe = self._loop.create_future()
        self._waiting.append((self._probe, deadline, None))
        if (queue := self._queue()) is not None:
            queue(PROBE)

    def _condemn(self, why: str) -> None:
        self.is_condemned = True
        if (abort := self._abort()) is not None:
            abort(why)
