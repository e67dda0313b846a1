"""One client's connection: reads, flow control, the queue of requests, and how it ends.

It decides whose turn it is, when to read and when to close. What the bytes mean is
request_reader.py's, what becomes of one request exchange.py's, sending outlet.py's. Requests
parsed ahead wait unstarted; beyond a bound the rest of a read is held back unparsed and reading
pauses. Waits are dated by the door's coarse clock and judged by sweep.py: no timer per request.
"""

import asyncio
from collections import deque
from typing import Final, cast

from tidegate.edge.native.exchange import UNREAD_BYTES_MAX, Exchange
from tidegate.edge.native.outlet import Outlet
from tidegate.edge.native.phase import Phase
from tidegate.edge.native.request_reader import RequestReader
from tidegate.edge.native.response_head import CONTINUE
from tidegate.edge.native.state import DoorState
from tidegate.http import GatewayError
from tidegate.http.errors import BadRequest, ServiceUnavailable

WAITING_BYTES_HIGH: Final = 64 * 1024
"""Bodies and heads that wait for the core, beyond which reading pauses."""
WAITING_BYTES_LOW: Final = 16 * 1024
REFUSED_AT_ONCE_MAX: Final = 256
"""Connections over the bound that are told so; those beyond are cut."""

# Members of an Enum by their own names: looking one up on its class costs 85 ns (Python 3.11).
_OPEN: Final = Phase.OPEN
_LAST: Final = Phase.LAST
_LINGERING: Final = Phase.LINGERING
_CLOSING: Final = Phase.CLOSING
_GONE: Final = Phase.GONE


class Connection(asyncio.BufferedProtocol):
    """Made by the server for each accepted socket."""

    __slots__ = (
        "_has_ignored",
        "_held",
        "_loop",
        "_transport",
        "_waiting",
        "_waiting_bytes",
        "client",
        "current",
        "door",
        "is_eof",
        "is_fresh",
        "is_probed",
        "is_read_paused",
        "outlet",
        "phase",
        "reader",
        "since",
    )

    outlet: Outlet

    def __init__(self, door: DoorState, loop: asyncio.AbstractEventLoop) -> None:
        self.client = ""
        self.door = door
        self._loop = loop
        self.reader = RequestReader(door, self)
        self.phase: Phase = _OPEN
        self.current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._waiting_bytes = 0
        self._held = b""
        self.is_read_paused = False
        self.is_eof = False
        self.is_probed = False
        self._has_ignored = False
        self.is_fresh = True
        self.since = door.clock

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport, self._loop)
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else ""
        door = self.door
        is_admitted = door.admits(self.client)
        door.add(self)
        if is_admitted:
            return
        error = ServiceUnavailable("Too many connections", headers=((b"retry-after", b"1"),))
        if len(door.connections) <= door.bounds.connections + REFUSED_AT_ONCE_MAX:
            self.refuse(error)
        else:
            door.refused(error, is_cut=True)
            self.reset()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.door.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.phase is not _OPEN:
            self._has_ignored = True
            return
        door = self.door
        reader = self.reader
        known = door.known_fields
        if self.current is None and nbytes <= known.head_bytes_max and reader.is_between_requests:
            request = known.request_of(bytes(door.view[:nbytes]), self.client)
            if request is not None:
                self.since = door.clock
                self.is_fresh = False
                self.current = exchange = Exchange(door, self, request)
                exchange.start_at_once(self._loop)
                return
        if not reader.head_bytes:
            self.since = door.clock
        stop = self._parse(door.buffer, door.view, nbytes)
        if stop < nbytes and self.phase is _OPEN:
            self._held = bytes(door.view[stop:nbytes])
        self._after_parsing()

    def eof_received(self) -> bool:
        """Return whether to keep the sending side open: answers that are due still leave."""
        self.is_eof = True
        self.since = self.door.clock
        unfinished = self.reader.exchange
        if self.phase is _LINGERING or self.current is None:
            return False
        if unfinished is self.current:
            self.reset()
            return False
        if unfinished is not None:
            self._waiting.remove(unfinished)
            self.reader.abandon(_cut())
        self.phase = _LAST
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = _GONE
        self.outlet.is_closed = True
        self.door.remove(self)
        self._waiting.clear()
        self._held = b""
        self.reader.abandon(_cut())
        if self.current is not None:
            self.current.cancel()

    def pause_writing(self) -> None:
        self.outlet.pause(self.door.clock)

    def resume_writing(self) -> None:
        self.outlet.resume()

    # What the reader of requests calls.

    def request_begun(self, exchange: Exchange) -> None:
        self.is_fresh = False
        if self.current is None:
            self.current = exchange
        else:
            self._waiting.append(exchange)
            self._waiting_bytes += exchange.head_bytes

    def last_request_read(self) -> None:
        if self.phase is _OPEN:
            self.phase = _LAST

    def input_refused(self) -> None:
        self.last_request_read()
        self._has_ignored = True

    @property
    def has_followers(self) -> bool:
        return bool(self._waiting)

    def body_waits(self, count: int) -> None:
        self._waiting_bytes += count

    def body_taken(self, count: int) -> None:
        self._waiting_bytes -= count
        if self.is_read_paused and self._waiting_bytes <= WAITING_BYTES_LOW:
            self._go_on_reading()

    def invite_body(self) -> None:
        if self.current is not None and not self.current.is_answered:
            self.since = self.door.clock
            self.outlet.write(CONTINUE)

    def reset(self) -> None:
        if self.phase is _CLOSING:
            self._transport.abort()
        elif self.phase is not _GONE:
            self.phase = _CLOSING
            self.outlet.reset()

    def exchange_ended(self, exchange: Exchange) -> None:
        self.current = None
        if exchange.body is not None:
            exchange.body.discard()
        if self.phase is _CLOSING or self.phase is _GONE:
            return
        self.since = self.door.clock
        if exchange.closes:
            self._close()
            return
        if self._waiting:
            self.current = following = self._waiting.popleft()
            self._waiting_bytes -= following.head_bytes
            following.start(self._loop)
        if self.is_read_paused and self._waiting_bytes <= WAITING_BYTES_LOW:
            self._go_on_reading()
        elif self.current is None and self.phase is _LAST:
            self._close()

    def _parse(self, buffer: bytes | bytearray, view: memoryview, end: int) -> int:
        """Parse as far as the bounds allow; return where it stopped."""
        reader = self.reader
        position = 0
        while position < end and self.phase is _OPEN and not self._is_full():
            position = reader.feed(buffer, view, position, end)
        if position < end and self.phase is not _OPEN:
            self._has_ignored = True
        return position

    def _is_full(self) -> bool:
        # Whatever waits holds bytes, so most of the time this is one comparison.
        return self._waiting_bytes > 0 and (
            self._waiting_bytes > WAITING_BYTES_HIGH
            or (
                len(self._waiting) >= self.door.bounds.requests_ahead
                and self.reader.exchange is None
            )
        )

    def _after_parsing(self) -> None:
        current = self.current
        if current is None:
            if self.phase is _LAST or self._is_too_much_unread():
                self._close()
        elif current.task is None:
            if self._waiting or self._held or self.is_read_paused:
                current.start(self._loop)
            else:
                current.start_at_once(self._loop)
                if self.current is None:
                    return  # answered: nothing waits any more, and it may be closed
        if (self._held or self._is_full()) and not self.is_read_paused:
            self.is_read_paused = True
            self._transport.pause_reading()

    def _go_on_reading(self) -> None:
        """Parse what was held back, then read again unless that filled the queue anew."""
        held, self._held = self._held, b""
        if held:
            stop = self._parse(held, memoryview(held), len(held))
            if self.phase is _OPEN:
                self._held = held[stop:]
        if not self._held and not self._is_full():
            self.is_read_paused = False
            self.since = self.door.clock
            self._transport.resume_reading()
        self._after_parsing()

    def refuse(self, error: GatewayError) -> None:
        self.reader.refuse(error)
        self._after_parsing()

    def _is_too_much_unread(self) -> bool:
        unfinished = self.reader.exchange
        return (
            unfinished is not None
            and unfinished.body is not None
            and unfinished.body.discarded_bytes > UNREAD_BYTES_MAX
        )

    def _close(self) -> None:
        """All that is due is answered. Where bytes may be unread, wait for the client to close."""
        self._waiting.clear()
        is_all_read = not (self._has_ignored or self._held or self.reader.exchange is not None)
        self._held = b""
        if self.is_eof or is_all_read:
            self.close_now()
            return
        self.phase = _LINGERING
        self.since = self.door.clock
        self.outlet.finish()
        if self.is_read_paused:
            self.is_read_paused = False
            self._transport.resume_reading()

    def close_now(self) -> None:
        self.phase = _CLOSING
        self.since = self.door.clock
        self.outlet.close()


def _cut() -> GatewayError:
    return BadRequest("The client closed the connection before the body was complete")
