"""The connections to one target, in one worker: who gets one, who waits, who is refused.

What to do is decided first (`plan`, pure) and done at once, so that no await lies between. Every
slot is held by exactly one of: an open connection, a connect under way, nobody. The last used
connection is reused first, so that those beyond the need grow old and are closed.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final

from tidegate.config.schema import Pool as Bounds
from tidegate.config.schema import Timeouts
from tidegate.upstream import failures
from tidegate.upstream.connection import Connection
from tidegate.upstream.plain_answers import KnownLines
from tidegate.upstream.reach import Reach
from tidegate.upstream.response_reader import ResponseReader
from tidegate.upstream.sweep import Pace, Sweep
from tidegate.upstream.target import Target

_BUSY: Final = Pace.BUSY  # naming a member of an Enum costs 0.1 microseconds in Python 3.11

HANDOVERS_MAX: Final = 3
"""A connection handed to a waiter may die on the way; after so many of them, give up."""


class Step(Enum):
    REUSE = auto()
    OPEN = auto()
    WAIT = auto()
    REFUSE = auto()


def plan(idle: int, held: int, waiting: int, bounds: Bounds) -> Step:
    """Return what one more request gets, `held` being the slots that are taken."""
    if idle:
        return Step.REUSE
    if held < bounds.connections:
        return Step.OPEN
    return Step.WAIT if waiting < bounds.waiting else Step.REFUSE


@dataclass(frozen=True, slots=True)
class Counts:
    """A pool at one moment: `held` slots are open or connecting, `idle` of them reusable."""

    held: int
    idle: int
    waiting: int
    opened: int
    """Connections opened since the start."""


Slot = Connection | None
"""What a waiter is given: a connection, or the right to open one."""


class Pool:
    def __init__(self, target: Target, bounds: Bounds, timeouts: Timeouts, service: str) -> None:
        self.target = target
        self.authority = target.authority
        self.sweep = Sweep(self._tick)
        self._bounds = bounds
        self._timeouts = timeouts
        self._service = service
        self._known = KnownLines()
        self._reach = Reach(target, service)
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._waiters: deque[tuple[float, asyncio.Future[Slot]]] = deque()
        self._held = 0
        self._opened = 0
        self._is_retired = False

    @property
    def counts(self) -> Counts:
        waiting = sum(not waiter.done() for _, waiter in self._waiters)
        return Counts(self._held, len(self._idle), waiting, self._opened)

    @property
    def has_room(self) -> bool:
        """Whether a request could go on without waiting."""
        return bool(self._idle) or self._held < self._bounds.connections

    def take(self) -> Connection | None:
        """Return an idle connection if there is one. The hot path: nothing is awaited."""
        if not self._idle:
            return None
        if self.sweep.pace is not _BUSY:
            self.sweep.hurry(asyncio.get_running_loop())
        return self._idle.pop()

    async def acquire(self, *, is_fresh: bool = False) -> Connection:
        """Return a connection for one exchange; `is_fresh` asks for one that nobody used before.

        Raises UpstreamUnavailable, GatewayTimeout or BadGateway, each with retry UNPROCESSED.
        """
        loop = asyncio.get_running_loop()
        if self.sweep.pace is not Pace.BUSY:
            self.sweep.hurry(loop)
        if is_fresh:
            # The last used one proved stale, so those used before it are likely to be.
            self._close_idle()
        for _ in range(HANDOVERS_MAX):
            waiting = len(self._waiters)
            match plan(len(self._idle), self._held, waiting, self._bounds):
                case Step.REUSE:
                    connection = self._idle.pop()
                    connection.deadline_s = inf
                    return connection
                case Step.OPEN:
                    self._held += 1
                    return await self._open(loop)
                case Step.REFUSE:
                    raise failures.pool_full(self._service)
                case Step.WAIT:
                    slot = await self._wait(loop)
                    if slot is None:
                        return await self._open(loop)
                    if slot.is_open:
                        return slot
        raise failures.pool_full(self._service)

    def release(self, connection: Connection) -> None:
        """Take a connection back whose exchange is over and which may carry another."""
        if self._is_retired:
            connection.close()
        elif not self._waiters or not self._hand_over(connection):
            self._idle.append(connection)  # without a deadline until the next tick

    def lost(self, connection: Connection) -> None:
        """Forget a closed connection; its slot goes to whoever waits longest."""
        if connection in self._connections:
            self._connections.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    def retire(self) -> None:
        """Keep nothing idle from now on; what is under way goes on to its end."""
        self._is_retired = True
        self._close_idle()

    def close(self) -> None:
        """Close every connection, whatever it carries, and refuse who waits."""
        self._is_retired = True
        self.sweep.stop()
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(failures.pool_full(self._service))
        for connection in tuple(self._connections):
            connection.close()

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Connect, in a slot that is already counted; the slot is freed if that fails."""
        target = self.target
        reader = ResponseReader(self._known)
        connection = Connection(
            loop, self._timeouts, self._service, reader, on_free=self.release, on_closed=self.lost
        )
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await loop.create_connection(
                    lambda: connection, target.host, target.port, ssl=target.tls
                )
            if not connection.is_open:
                raise ConnectionResetError
        except OSError as error:
            self._free_slot()
            connection.close()
            self._reach.failed(error, loop.time())
            raise failures.not_connected(self._service, error) from error
        except BaseException:
            self._free_slot()
            connection.close()
            raise
        if self._reach.is_told_away:
            self._reach.returned()
        self._connections.add(connection)
        self._opened += 1
        return connection

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> Slot:
        waiter: asyncio.Future[Slot] = loop.create_future()
        self._waiters.append((loop.time() + self._timeouts.connect, waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._return(waiter.result())
            raise

    def _return(self, slot: Slot) -> None:
        """Pass on what was given to a waiter that went away in the same moment."""
        if slot is None:
            self._free_slot()
        elif slot.is_open:
            self.release(slot)

    def _free_slot(self) -> None:
        self._held -= 1
        if self._hand_over(None):
            self._held += 1

    def _hand_over(self, slot: Slot) -> bool:
        """Give `slot` to the first that still waits; return whether there was one."""
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return True
        return False

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _tick(self, now_s: float) -> Pace:
        """End what is overdue, and say how soon to look again."""
        waiters = self._waiters
        while waiters and (waiters[0][1].done() or waiters[0][0] <= now_s):
            _, waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_exception(failures.pool_full(self._service))
        for connection in tuple(self._connections):
            if connection.deadline_s <= now_s:
                connection.expire(now_s)
        for connection in self._idle:
            if connection.deadline_s == inf:
                connection.deadline_s = now_s + self._bounds.idle_timeout
        if self._held > len(self._idle):
            return Pace.BUSY
        return Pace.RESTING if self._idle else Pace.STOPPED
