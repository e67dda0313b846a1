"""Holds the leases of the requests that run in this worker: renews them, and ends each once.

A lease lasts for seconds, a stream for hours: what still runs when a third of a lease's time has
passed is renewed, so that one lost renewal costs no place. One timer serves all, only while there
is something to renew; requests that end before cost a dict's entry. Renewing puts a lease back that
the store has lost, so that limits count right again after a restart. A worker that is killed renews
nothing: its leases end by themselves. Knows nothing of requests.
"""

import asyncio
from typing import Final

from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.limiter import Limiter

TICK_S: Final = 0.25
"""Renewals closer together share a firing of the timer: the shortest lease, 1 s, has a third of a
second for its first."""
RENEWED_MAX: Final = 1000
"""In one firing, so that they take neither the loop for long (about 2 ms) nor all places of
commands that wait (8,192)."""
CROWDED_TICK_S: Final = 0.01


class LeaseKeeper:
    """One for a worker."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._held: dict[bytes, tuple[float, Lease]] = {}
        """By identity, with the time at which each is to be renewed: as many as requests run."""
        self._held_in: dict[bytes, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        limiter.degraded.held = self.count_in

    @property
    def count(self) -> int:
        return len(self._held)

    def count_in(self, key: bytes) -> int:
        """Return how many leases are held here that stand in one set of the store's."""
        return self._held_in.get(key, 0)

    def hold(self, lease: Lease) -> None:
        """Keep a lease that was taken, until `release`."""
        loop = asyncio.get_running_loop()
        due = loop.time() + lease.renew_s
        self._held[lease.identity] = due, lease
        for key, _ in lease.places:
            self._held_in[key] = self._held_in.get(key, 0) + 1
        if self._timer is None or due < self._fires_at:
            self._fire_at(due, loop)

    def release(self, lease: Lease) -> None:
        """End a lease. Calling it twice does no harm: the second time nothing is sent."""
        if self._held.pop(lease.identity, None) is None:
            return
        for key, _ in lease.places:
            left = self._held_in.pop(key) - 1
            if left:
                self._held_in[key] = left
        self._limiter.release(lease)

    def close(self) -> None:
        """End all leases: nothing runs any more."""
        for _, lease in tuple(self._held.values()):
            self.release(lease)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire_at(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = when
        self._timer = loop.call_at(when, self._renew_due)

    def _renew_due(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = [lease for when, lease in self._held.values() if when <= now]
        renewed = due[:RENEWED_MAX]
        self._limiter.renew(renewed)
        for lease in renewed:
            self._held[lease.identity] = now + lease.renew_s, lease
        if len(due) > RENEWED_MAX:
            self._fire_at(now + CROWDED_TICK_S, loop)
        elif self._held:
            following = min(when for when, _ in self._held.values())
            self._fire_at(max(following, now + TICK_S), loop)
