"""One live link to the store: commands queue, leave in one write a tick, and are answered in order.

A reply belongs to the oldest waiter, so a waiter that timed out or was cancelled keeps its place:
its reply is taken and dropped. Two bounds hold what can pile up: commands that wait, and bytes not
yet taken by the kernel. One timer serves all deadlines. Knows nothing of reconnecting: a pipeline
ends once, and then every waiter fails in `connection_lost`. Hot: bench/store_round_trip.py.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from hiredis import ProtocolError, PushNotification, Reader, ReplyError

from tidegate.store.deadlines import Deadlines, Waiting
from tidegate.store.errors import fail, reply_failure, unavailable
from tidegate.store.redirects import Redirect, Repeatable
from tidegate.store.scripts import pack
from tidegate.store.trips import Trips

WAITING_MAX: Final = 8192
"""Commands unanswered. One limit decision costs the server about 8 µs, so this is 65 ms of
its work: what is asked beyond would miss the default deadline of 50 ms anyway."""
UNSENT_BYTES_MAX: Final = 4 * 2**20
"""Bytes asked for in one tick, and (as the transport's high-water mark) bytes not yet sent."""

_NOTHING: Final = object()
"""What the reader gives for an incomplete reply; its default, False, is also RESP3's `#f`."""


class Pipeline(asyncio.Protocol):
    """`on_push` takes RESP3 pushes; `on_end` is called once, after the last waiter has failed;
    `ended` is done when the transport has let go.
    """

    def __init__(
        self,
        timeout_s: float,
        on_push: Callable[[list[Any]], None] | None = None,
        on_end: Callable[["Pipeline"], None] | None = None,
        on_redirect: Redirect | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self._timeout_s = timeout_s
        self._on_push = on_push
        self._on_end = on_end
        self._on_redirect = on_redirect
        self._reader = Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        """False before the transport is there, while it is full, and after the end."""
        self._why_closed = "The store's connection is not open"
        self._waiting: Waiting = deque()
        self._deadlines = Deadlines(self._waiting, timeout_s, self._queue, self.abort)
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._asked_at = 0.0
        self.server = ""
        """Where it leads, as it may be shown."""
        self._was_made = False
        self._has_ended = False
        self.trips: Trips | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether a command would be taken now."""
        return self._is_open

    @property
    def is_connected(self) -> bool:
        return self._transport is not None

    @property
    def is_condemned(self) -> bool:
        """Whether it ended because the store does not answer in time (see breaker.py)."""
        return self._deadlines.is_condemned

    def send(
        self,
        command: bytes,
        timeout_s: float | None = None,
        call: Repeatable | None = None,
        waiter: asyncio.Future[Any] | None = None,
    ) -> asyncio.Future[Any]:
        """Queue a packed command; the future, `waiter` if there is one, gives its reply. Never
        raises, never waits."""
        if waiter is None:
            waiter = self._create_future()
        waiting = self._waiting
        if not self._is_open or len(waiting) >= WAITING_MAX:
            return self._refuse(waiter)
        unsent = self._unsent
        if not unsent:
            self._asked_at = self._loop.time()
            self._loop.call_soon(self._flush)
        deadline = self._asked_at + (self._timeout_s if timeout_s is None else timeout_s)
        waiting.append((waiter, deadline, call))
        unsent.append(command)
        unsent_bytes = self._unsent_bytes = self._unsent_bytes + len(command)
        if unsent_bytes > UNSENT_BYTES_MAX:
            self.pause_writing()
        if deadline < self._deadlines.sweep_at:
            self._deadlines.no_later_than(deadline)
        return waiter

    def execute(
        self, *parts: bytes | str | int | float, timeout_s: float | None = None
    ) -> asyncio.Future[Any]:
        """Queue one command: for the few that are sent before the link is anyone else's."""
        return self.send(pack(parts), timeout_s)

    def post(self, command: bytes) -> None:
        """Queue a packed command that is answered by pushes alone, such as SUBSCRIBE in RESP3."""
        if self._is_open:
            self._queue(command)

    def forward(
        self, waiter: asyncio.Future[Any], deadline: float, call: Repeatable, *, is_asking: bool
    ) -> None:
        """Queue what another server of a Cluster refers to this one, for the same waiter.

        `is_asking`: the slot is on its way here. The source is sent with it then, since what is
        sent again for a hash that is not known would be referred back.
        """
        if is_asking:
            self.execute(b"ASKING")
        command = call.by_source() if is_asking else call.command
        self.send(command, deadline - self._loop.time(), call, waiter)

    def _refuse(self, waiter: asyncio.Future[Any]) -> asyncio.Future[Any]:
        why = f"{WAITING_MAX} commands already wait for the store"
        return fail(waiter, unavailable(why if self._is_open else self._why_closed))

    def _flush(self) -> None:
        if self._transport is None or not self._unsent:
            return
        commands = b"".join(self._unsent)
        self._unsent.clear()
        was_full = self._unsent_bytes > UNSENT_BYTES_MAX
        self._unsent_bytes = 0
        if was_full:
            self.resume_writing()
        self._transport.write(commands)
        if self.trips is not None:
            self.trips.written(len(self._waiting))

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        waiting = self._waiting
        before = len(waiting)
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                kind = reply.__class__
                if kind is PushNotification:
                    if self._on_push is not None:
                        self._on_push(reply)
                    continue
                if not waiting:
                    self.abort("The store sent a reply that nobody asked for")
                    return
                if kind is ReplyError:
                    self._error_received(reply)
                    continue
                waiter = waiting.popleft()[0]
                if not waiter.done():
                    waiter.set_result(reply)
        except ProtocolError:
            self.abort("The store sent what is not its protocol")
        if self.trips is not None:
            self.trips.answered(before - len(waiting))

    def _error_received(self, reply: ReplyError) -> None:
        """Fail the oldest waiter, or ask its script again by source.

        A script asked again keeps its waiter and its deadline and runs after all that was sent
        meanwhile: commands that depend on its effect must wait for its reply.
        """
        waiter, deadline, call = self._waiting.popleft()
        if waiter.done():
            return
        if call is not None:
            if str(reply).startswith("NOSCRIPT"):
                self._ask_by_source(waiter, deadline, call)
                return
            redirect = self._on_redirect
            if redirect is not None and redirect(str(reply), waiter, deadline, call):
                return
        fail(waiter, reply_failure(reply))
        if str(reply).startswith("READONLY"):
            # The name now leads to a replica: a new connection may find the new primary.
            self._is_open = False
            self._why_closed = "The store became read-only"
            self._loop.call_soon(self.abort, self._why_closed)

    def _ask_by_source(
        self, waiter: asyncio.Future[Any], deadline: float, call: Repeatable
    ) -> None:
        if not self._is_open:
            fail(waiter, unavailable(self._why_closed))
            return
        again = call if self._on_redirect is not None else None
        self._waiting.append((waiter, deadline, again))
        self._queue(call.by_source())

    def _queue(self, command: bytes) -> None:
        """Queue what is asked beyond the bounds; its waiter, if it has one, waits already."""
        if not self._unsent:
            self._asked_at = self._loop.time()
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        self._unsent_bytes += len(command)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio.Transport: nothing to check.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        self._was_made = True
        self._is_open = True

    def pause_writing(self) -> None:
        self._is_open = False
        self._why_closed = "The store does not take commands as fast as they come"

    def resume_writing(self) -> None:
        self._is_open = self._transport is not None

    def abort(self, why: str) -> None:
        """End the link now."""
        self._end(why)
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    async def aclose(self, why: str) -> None:
        """End the link and wait until its transport has let go."""
        self.abort(why)
        if self._was_made:
            await asyncio.shield(self.ended)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end("The connection to the store was lost")
        self.ended.set_result(None)

    def _end(self, why: str) -> None:
        """The one place where waiters fail for the loss of their link."""
        if self._has_ended:
            return
        self._has_ended = True
        self._is_open = False
        self._why_closed = why
        self._deadlines.close()
        self._unsent.clear()
        while self._waiting:
            fail(self._waiting.popleft()[0], unavailable(why))
        if self._on_end is not None:
            self._on_end(self)
