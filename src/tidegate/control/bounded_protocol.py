"""uvicorn's HTTP/1.1, with bounds on what comes before the application hears of a request, and on
how long an answer may go unread.

The guard runs once a head is complete, and bounds bodies alone. Here end fields without end (those
of a head, and trailers and chunk extensions as well), heads that stop half way, connections that
say nothing, clients that read nothing or next to it, and more connections than an admin API has
use for. None of that needs a token.
"""

from asyncio import BaseTransport, TimerHandle
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX: Final = 32 * 1024
HEAD_WAIT_S: Final = 10.0
UNREAD_WAIT_S: Final = 30.0
"""As long as the traffic port waits for a body to go on (`listen.bounds.body_timeout`)."""
UNREAD_RATE_MIN: Final = 240
"""Bytes a second over each such time, as the traffic port asks of uploads (`body_rate_min`): a slow
line goes on for as long as it takes, and nobody holds a place by a byte now and then."""
CONNECTIONS_MAX: Final = 256
PIECE_BYTES: Final = 4096
"""What the parser gets at once, and so by how much a head may be over."""
TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """Whenever no request is being answered a timer runs: this one, or uvicorn's for kept ones."""

    head_wait_s: float = HEAD_WAIT_S
    unread_wait_s: float = UNREAD_WAIT_S
    unread_rate_min: int = UNREAD_RATE_MIN
    connections_max: int = CONNECTIONS_MAX

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept_bytes = 0
        """What came since the parser last gave something away: it may be holding all of it."""
        self._deadline: TimerHandle | None = None
        self._unread_deadline: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn narrows it
        # The transport tells of each byte that it cannot send, not of more than 64 KiB alone.
        self.transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.connections_max:
            self.transport.abort()
        else:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        self._cancel_unread_deadline()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_unread_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_unread_deadline()

    def data_received(self, data: bytes) -> None:
        # What comes after an answer, such as the rest of its request's body, ends uvicorn's timer.
        if self._deadline is None and not self._is_answering():
            self._start_deadline()
        for start in range(0, len(data), PIECE_BYTES):
            if self.transport.is_closing():
                return
            piece = data[start : start + PIECE_BYTES]
            self._kept_bytes += len(piece)
            super().data_received(piece)
            if self._kept_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._refuse()

    def on_message_begin(self) -> None:
        self._start_deadline()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._kept_bytes = 0
        self._cancel_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._kept_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._kept_bytes = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        if not self._is_answering():  # else it would stand amid another answer
            self.transport.write(TOO_LARGE)
        self.transport.close()

    def _is_answering(self) -> bool:
        # Of pipelined requests it is the last one, and that is answered last.
        return self.cycle is not None and not self.cycle.response_complete

    def _start_deadline(self) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(self.head_wait_s, self._expire)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        if self._is_answering():  # a pipelined head that waits, maybe unread, for our answer
            self._start_deadline()
        else:
            self.transport.abort()

    def _start_unread_deadline(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        self._unread_deadline = self.loop.call_later(
            self.unread_wait_s, self._expire_unread, unread_bytes
        )

    def _cancel_unread_deadline(self) -> None:
        if self._unread_deadline is not None:
            self._unread_deadline.cancel()
            self._unread_deadline = None

    def _expire_unread(self, unread_bytes: int) -> None:
        # Nothing is added while a transport is paused, so less is what the client has taken.
        taken_bytes = unread_bytes - self.transport.get_write_buffer_size()
        if taken_bytes >= self.unread_wait_s * self.unread_rate_min:
            self._start_unread_deadline()
        else:
            self.transport.abort()
