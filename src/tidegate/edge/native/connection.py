"""One client's connection: reads, flow control, the queue of requests, and how it ends.

It decides whose turn it is, when to read and when to close. What the bytes mean is
request_reader.py's, what becomes of one request exchange.py's, sending outlet.py's. Requests
parsed ahead wait unstarted; beyond a bound the rest of a read is held back unparsed and reading
pauses. Waits are dated by the door's coarse clock and judged by its sweep: no timer per request.
"""

import asyncio
from collections import deque
from enum import Enum, auto
from typing import Final, cast

from tidegate.edge.native.exchange import UNREAD_BYTES_MAX, Exchange
from tidegate.edge.native.outlet import Outlet
from tidegate.edge.native.request_reader import RequestReader
from tidegate.edge.native.response_head import CONTINUE, PROCESSING
from tidegate.edge.native.state import DoorState
from tidegate.http import GatewayError
from tidegate.http.errors import BadRequest, RequestTimeout, ServiceUnavailable

WAITING_BYTES_HIGH: Final = 64 * 1024
"""Bodies and heads that wait for the core, beyond which reading pauses."""
WAITING_BYTES_LOW: Final = 16 * 1024
LINGER_S: Final = 2.0
"""So long is read on after an early answer, lest a reset destroy it before the client reads it."""
QUIET_BEFORE_DRAIN_S: Final = 1.0
"""A connection idle for less may have a request on its way when a drain begins."""
REFUSED_AT_ONCE_MAX: Final = 256
"""Connections over the bound that are told so; those beyond are cut."""


class Phase(Enum):
    """What becomes of bytes that arrive, and of what is still to be written."""

    OPEN = auto()
    LAST = auto()
    """Arriving bytes are ignored: the last request, or what took its place, is read."""
    LINGERING = auto()
    """All is answered and FIN sent; what arrives is ignored until the client closes too."""
    CLOSING = auto()
    """What is written may still leave."""
    GONE = auto()


class Connection(asyncio.BufferedProtocol):
    """Made by the server for each accepted socket."""

    __slots__ = (
        "_current",
        "_door",
        "_has_ignored",
        "_held",
        "_is_eof",
        "_is_fresh",
        "_is_probed",
        "_is_read_paused",
        "_loop",
        "_phase",
        "_reader",
        "_since",
        "_transport",
        "_waiting",
        "_waiting_bytes",
        "client",
        "outlet",
    )

    outlet: Outlet

    def __init__(self, door: DoorState, loop: asyncio.AbstractEventLoop) -> None:
        self.client = ""
        self._door = door
        self._loop = loop
        self._reader = RequestReader(door, self)
        self._phase = Phase.OPEN
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._waiting_bytes = 0
        self._held = b""
        self._is_read_paused = False
        self._is_eof = False
        self._is_probed = False
        self._has_ignored = False
        self._is_fresh = True
        self._since = door.clock

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport, self._loop)
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else ""
        door = self._door
        if door.admits(self.client):
            door.add(self)
        elif len(door.connections) < door.bounds.connections + REFUSED_AT_ONCE_MAX:
            door.add(self)
            self._refuse(
                ServiceUnavailable("Too many connections", headers=((b"retry-after", b"1"),))
            )
        else:
            door.add(self)
            self.outlet.reset()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._door.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._phase is not Phase.OPEN:
            self._has_ignored = True
            return
        if not self._reader.head_bytes:
            self._since = self._door.clock
        stop = self._parse(self._door.buffer, self._door.view, nbytes)
        if stop < nbytes and self._phase is Phase.OPEN:
            self._held = bytes(self._door.view[stop:nbytes])
        self._after_parsing()

    def eof_received(self) -> bool:
        """Return whether to keep the sending side open: answers that are due still leave."""
        self._is_eof = True
        self._since = self._door.clock
        unfinished = self._reader.exchange
        if self._phase is Phase.LINGERING or self._current is None:
            return False
        if unfinished is self._current:
            self.reset()
            return False
        if unfinished is not None:
            self._waiting.remove(unfinished)
            self._reader.abandon(_cut())
        self._phase = Phase.LAST
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = Phase.GONE
        self.outlet.is_closed = True
        self._door.remove(self)
        self._waiting.clear()
        self._held = b""
        self._reader.abandon(_cut())
        current = self._current
        if current is not None and current.task is not None and not current.is_releasing:
            current.task.cancel()

    def pause_writing(self) -> None:
        self.outlet.pause(self._door.clock)

    def resume_writing(self) -> None:
        self.outlet.resume()

    # What the reader of requests calls.

    def request_begun(self, exchange: Exchange) -> None:
        self._is_fresh = False
        if self._current is None:
            self._current = exchange
        else:
            self._waiting.append(exchange)
            self._waiting_bytes += exchange.head_bytes

    def last_request_read(self) -> None:
        if self._phase is Phase.OPEN:
            self._phase = Phase.LAST

    def input_refused(self) -> None:
        self.last_request_read()
        self._has_ignored = True

    # What bodies and exchanges call.

    @property
    def has_followers(self) -> bool:
        return bool(self._waiting)

    def body_waits(self, count: int) -> None:
        self._waiting_bytes += count

    def body_taken(self, count: int) -> None:
        self._waiting_bytes -= count
        if self._is_read_paused and self._waiting_bytes <= WAITING_BYTES_LOW:
            self._go_on_reading()

    def invite_body(self) -> None:
        if self._current is not None and not self._current.is_answered:
            self._since = self._door.clock
            self.outlet.write(CONTINUE)

    def reset(self) -> None:
        if self._phase is Phase.CLOSING:
            self._transport.abort()
        elif self._phase is not Phase.GONE:
            self._phase = Phase.CLOSING
            self.outlet.reset()

    def exchange_ended(self, exchange: Exchange) -> None:
        self._current = None
        if exchange.body is not None:
            exchange.body.discard()
        if self._phase is Phase.CLOSING or self._phase is Phase.GONE:
            return
        self._since = self._door.clock
        if exchange.closes:
            self._close()
            return
        if self._waiting:
            self._current = following = self._waiting.popleft()
            self._waiting_bytes -= following.head_bytes
            following.start(self._loop)
        if self._is_read_paused and self._waiting_bytes <= WAITING_BYTES_LOW:
            self._go_on_reading()
        elif self._current is None and self._phase is Phase.LAST:
            self._close()

    # What the server calls.

    def sweep(self, now: float) -> None:
        """End what has waited too long."""
        bounds = self._door.bounds
        waited_s = now - self._since - self._door.sweep_s
        if self.outlet.is_paused and self.outlet.stalled_s(now) > bounds.body_timeout:
            self.reset()
        elif self._phase is Phase.LINGERING:
            if waited_s > LINGER_S:
                self._close_now()
        elif self._phase is Phase.CLOSING:
            if waited_s > bounds.body_timeout:
                self._transport.abort()
        elif self._reader.exchange is not None:
            if waited_s > bounds.body_timeout and self._awaits_body():
                self._refuse(RequestTimeout("The body did not arrive in time"))
        elif self._current is not None:
            if self._is_eof and waited_s > self._door.sweep_s / 2:
                self._probe(self._current)
        elif self._reader.head_bytes:
            if waited_s > bounds.header_timeout:
                self._refuse(RequestTimeout("The head did not arrive in time"))
        elif waited_s > (bounds.header_timeout if self._is_fresh else bounds.keepalive_timeout):
            self._close_now()
        elif self._door.is_draining:
            self.drain(now)

    def drain(self, now: float) -> None:
        """Close if idle, unless a request may be on its way at this very moment."""
        is_idle = (
            self._phase is Phase.OPEN
            and self._current is None
            and self._reader.exchange is None
            and not self._reader.head_bytes
        )
        if is_idle and now - self._since > QUIET_BEFORE_DRAIN_S:
            self._close_now()

    # Own steps.

    def _parse(self, buffer: bytes | bytearray, view: memoryview, end: int) -> int:
        """Parse as far as the bounds allow; return where it stopped."""
        reader = self._reader
        position = 0
        while position < end and self._phase is Phase.OPEN and not self._is_full():
            position = reader.feed(buffer, view, position, end)
        if position < end and self._phase is not Phase.OPEN:
            self._has_ignored = True
        return position

    def _is_full(self) -> bool:
        return self._waiting_bytes > WAITING_BYTES_HIGH or (
            len(self._waiting) >= self._door.bounds.requests_ahead and self._reader.exchange is None
        )

    def _after_parsing(self) -> None:
        current = self._current
        if current is None:
            if self._phase is Phase.LAST or self._is_too_much_unread():
                self._close()
        elif current.task is None:
            current.start(self._loop)
        if (self._held or self._is_full()) and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _go_on_reading(self) -> None:
        """Parse what was held back, then read again unless that filled the queue anew."""
        held, self._held = self._held, b""
        if held:
            stop = self._parse(held, memoryview(held), len(held))
            if self._phase is Phase.OPEN:
                self._held = held[stop:]
        if not self._held and not self._is_full():
            self._is_read_paused = False
            self._since = self._door.clock
            self._transport.resume_reading()
        self._after_parsing()

    def _refuse(self, error: GatewayError) -> None:
        self._reader.refuse(error)
        self._after_parsing()

    def _awaits_body(self) -> bool:
        """Whether it is the client's move: it knows that its body is wanted, and we read."""
        unfinished = self._reader.exchange
        return not self._is_read_paused and not (
            unfinished is not None
            and unfinished.body is not None
            and unfinished.body.is_awaiting_invitation
        )

    def _is_too_much_unread(self) -> bool:
        unfinished = self._reader.exchange
        return (
            unfinished is not None
            and unfinished.body is not None
            and unfinished.body.discarded_bytes > UNREAD_BYTES_MAX
        )

    def _probe(self, current: Exchange) -> None:
        """Find out whether a client that ended its side is still there for the answer.

        A client that closes altogether looks the same as one that only has no more to send, until
        something is written: an interim response, which HTTP/1.0 does not know.
        """
        if self._is_probed:
            if self.outlet.is_peer_gone():
                self.reset()
        elif (
            not current.is_answered
            and current.request is not None
            and current.request.http_version == "1.1"
        ):
            self._is_probed = True
            self.outlet.write(PROCESSING)

    def _close(self) -> None:
        """All that is due is answered. Where bytes may be unread, wait for the client to close."""
        self._waiting.clear()
        is_all_read = not (self._has_ignored or self._held or self._reader.exchange is not None)
        self._held = b""
        if self._is_eof or is_all_read:
            self._close_now()
            return
        self._phase = Phase.LINGERING
        self._since = self._door.clock
        self.outlet.finish()
        if self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()

    def _close_now(self) -> None:
        self._phase = Phase.CLOSING
        self._since = self._door.clock
        self.outlet.close()


def _cut() -> GatewayError:
    return BadRequest("The client closed the connection before the body was complete")
