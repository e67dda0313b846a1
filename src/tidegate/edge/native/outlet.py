"""The sending half of a connection: writes, the client's backpressure, and the hard cut.

Writers await only while the transport's buffer is over its high-water mark. A client that takes
nothing for too long is stalled, which only the sweep asks about.
"""

import asyncio
import socket
import struct
from typing import Final

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing sends RST. `transport.abort()` alone sends FIN."""


class Outlet:
    """Made with the connection, usable until `is_closed`."""

    __slots__ = (
        "_loop",
        "_stalled_since",
        "_transport",
        "_unsent_bytes",
        "_waiter",
        "is_closed",
        "is_paused",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.is_paused = False
        self.is_closed = False
        self._transport = transport
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._stalled_since = 0.0
        self._unsent_bytes = 0

    def write(self, octets: bytes) -> None:
        if not self.is_closed:
            self._transport.write(octets)

    async def drained(self) -> None:
        """Return when the client has taken enough. One writer waits at a time."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def pause(self, clock: float) -> None:
        self.is_paused = True
        self._stalled_since = clock
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def resume(self) -> None:
        self.is_paused = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def stalled_s(self, now: float) -> float:
        """Return for how long the client has taken nothing of what waits for it."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes < self._unsent_bytes:
            self._stalled_since = now
        self._unsent_bytes = unsent_bytes
        return now - self._stalled_since

    def finish(self) -> None:
        """Send FIN after what is written; the client may go on sending."""
        if not self.is_closed and self._transport.can_write_eof():
            self._transport.write_eof()
        self.is_closed = True

    def close(self) -> None:
        """Send what is written, then close."""
        self.is_closed = True
        self._transport.close()

    def reset(self) -> None:
        """Cut at once, so that the client cannot take what it has for the whole."""
        self.is_closed = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def is_peer_gone(self) -> bool:
        """Whether a write was answered by RST, which a half-closed socket does not report."""
        sock = self._transport.get_extra_info("socket")
        return sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
