"""One connection to one target: an asyncio Protocol that carries one exchange at a time.

It writes a head made elsewhere and the body, hands what arrives to the reader, and decides what
becomes of the connection: back to its pool, or closed. It is closed whenever anything was left
unclear: bytes nobody asked for, a cut message, an upload that was not finished.
Deadlines are compared by the pool's sweep: no timer for a request. Hot: one Future, one Response.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from math import inf
from typing import Final, TypeAlias

from tidegate.config.schema import Timeouts
from tidegate.http.errors import GatewayError
from tidegate.http.framing import Framing, State
from tidegate.http.message import Informational, Request, Response
from tidegate.upstream import failures
from tidegate.upstream.body_stream import BodyStream
from tidegate.upstream.response_reader import ResponseReader
from tidegate.upstream.tls import is_end_vouched_for
from tidegate.upstream.upload import send_body

JOINED_BODY_BYTES_MAX: Final = 64 * 1024
"""Up to here, copying the body behind the head is cheaper than a second write."""

_BODY, _DONE = State.BODY, State.DONE
_CLOSE: Final = Framing.CLOSE

Told: TypeAlias = "Callable[[Connection], None]"


class Connection(asyncio.Protocol):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeouts: Timeouts,
        service: str,
        reader: ResponseReader,
        *,
        on_free: Told,
        on_closed: Told,
    ) -> None:
        """`on_free`: may carry another exchange; `on_closed`: never again. Both told at once."""
        self._on_free = on_free
        self._on_closed = on_closed
        self._loop = loop
        self._first_byte_s, self._progress_s = timeouts.first_byte, timeouts.body_progress
        self._service = service
        self._reader = reader
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Response] | None = None
        """The exchange under way, from sending its head to the last byte of its response."""
        self._stream: BodyStream | None = None
        self._upload: asyncio.Task[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._has_received = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._unsent = 0
        """Bytes in the write buffer when last looked at: fewer now means progress."""
        self.deadline_s = inf
        """On the loop's clock; `expire` is due then. The pool sets it while idle."""
        self.is_open = False
        self.is_reused = False

    def send(
        self, request: Request, head: bytes, on_informational: Informational | None
    ) -> asyncio.Future[Response]:
        """Send the request; the future gives the response, or the GatewayError instead of it.

        Who stops waiting must call `abandon` with the future.
        """
        reply: asyncio.Future[Response] = self._loop.create_future()
        self._reply = reply
        self._has_received = False
        self._reader.start(request.method, on_informational)
        body = request.body
        if not isinstance(body, bytes):
            self.write(head)
            self.deadline_s = inf
            self._upload = self._loop.create_task(self._send_streamed(body, request.content_length))
            self._upload.add_done_callback(partial(self._on_upload_done, reply))
            return reply
        self.deadline_s = self._loop.time() + self._first_byte_s
        if len(body) <= JOINED_BODY_BYTES_MAX:
            self.write(head + body if body else head)
        else:
            self.write(head)
            self.write(body)
            self._note_unsent()
        return reply

    def abandon(self, reply: asyncio.Future[Response]) -> None:
        """End the exchange of `reply` if it is still under way; the upstream request is cut."""
        if self._reply is reply:
            self._fail(failures.closed(self._service))
        if reply.done() and not reply.cancelled():
            reply.exception()  # nobody else will look at it

    def close(self) -> None:
        """Close at once; what is under way fails."""
        self._fail(failures.closed(self._service))

    def expire(self, now_s: float) -> None:
        """The deadline has passed: end what did not move, go on with what did."""
        before, unsent = self._unsent, self._note_unsent()
        if self._reply is None:
            self._close()
        elif unsent < before:
            self.deadline_s = now_s + (self._progress_s if unsent else self._first_byte_s)
        elif self._stream is not None:
            self._fail(failures.overdue(self._service, "did not go on with its answer"))
        elif unsent:
            self._fail(failures.overdue(self._service, "did not go on reading the request"))
        else:
            self._fail(failures.overdue(self._service, "did not answer"))

    def write(self, piece: bytes) -> None:
        if self._transport is not None:
            self._transport.write(piece)

    def drained(self) -> asyncio.Future[None] | None:
        if not self._is_write_paused:
            return None
        self._drain = self._loop.create_future()
        self._note_unsent()
        self.deadline_s = self._loop.time() + self._progress_s
        return self._drain

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of a stream connection
        self.is_open = True

    def data_received(self, received: bytes) -> None:
        reply = self._reply
        if reply is None:
            self._close()  # bytes nobody asked for
            return
        self._has_received = True
        reader = self._reader
        if (response := reader.whole(received)) is not None:
            self._finish(reply, response)
            return
        try:
            reader.feed(received)
        except GatewayError as error:
            self._fail(failures.unusable(self._service, error.detail))
            return
        if reader.state is _DONE:
            self._finish(reply)
        elif reader.state is _BODY:
            self._go_on(reply)

    def eof_received(self) -> None:
        reply = self._reply
        if reply is not None and is_end_vouched_for(self._transport) and self._reader.feed_eof():
            self._finish(reply)
        else:
            self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        begun = self._has_received
        self._fail(failures.cut_short(self._service, is_begun=begun, is_reused=self.is_reused))

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._upload is not None:
            self.deadline_s = inf  # from here on, it is the client that is waited for
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # The exchange.

    def _go_on(self, reply: asyncio.Future[Response]) -> None:
        """The head is complete, the body is not: hand on what is there."""
        reader, stream = self._reader, self._stream
        pieces, reader.pieces = reader.pieces, []
        if stream is None:
            stream = self._begin_stream(reply)
        elif not pieces:
            return  # sizes and extensions of chunks are no progress
        stream.put(pieces)
        if stream.is_full and not self._is_read_paused and self._transport is not None:
            self._is_read_paused = True
            self._transport.pause_reading()
        self._expect_progress()

    def _begin_stream(self, reply: asyncio.Future[Response]) -> BodyStream:
        stream = BodyStream(self._loop, self._resume_reading, partial(self.abandon, reply))
        self._stream = stream
        if self._reader.status >= 400:
            self._stop_upload()  # RFC 9112, section 9.5: the peer does not want the rest
        response = self._response(stream)
        response.on_close(stream.close)
        if not reply.done():
            reply.set_result(response)
        return stream

    def _finish(self, reply: asyncio.Future[Response], whole: Response | None = None) -> None:
        """The response is complete: decide about the connection, then hand the response over."""
        reader, stream = self._reader, self._stream
        self._reply = self._stream = None
        if self._upload is not None:
            self._stop_upload()
        if self._is_read_paused:
            self._resume_reading()
        self.deadline_s = inf
        if reader.is_reusable and self.is_open:
            self.is_reused = True
            self._on_free(self)
        else:
            self._close()
        if stream is not None:
            stream.put(reader.pieces)
            stream.end()
        elif not reply.done():
            reply.set_result(whole or self._response(b"".join(reader.pieces)))

    def _response(self, body: bytes | BodyStream) -> Response:
        read = self._reader
        response = Response(read.status, read.headers, body)
        response.content_length, response.reason = read.length, read.reason  # keywords cost more
        if read.framing is _CLOSE:
            response.ends_by_close = True
        return response

    def _fail(self, error: BaseException) -> None:
        """Close the connection; if an exchange is under way, that is how it ends."""
        reply, stream = self._reply, self._stream
        self._reply = self._stream = None
        self._stop_upload()
        self._close()
        if stream is not None:
            stream.end(error)
        elif reply is not None and not reply.done():
            reply.set_exception(error)

    def _close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self.deadline_s = inf
        transport, self._transport = self._transport, None
        if transport is not None:
            # Not close(): that would wait for a peer to read what no longer matters to anybody.
            transport.abort()
        self._on_closed(self)

    def _resume_reading(self) -> None:
        if self._is_read_paused and self._transport is not None and self.is_open:
            self._is_read_paused = False
            self._transport.resume_reading()
            self._expect_progress()

    def _expect_progress(self) -> None:
        """A body is arriving: set its deadline, unless it is the client that is waited for.

        While an upload goes on, the deadline is the upload's.
        """
        if self._upload is not None:
            return
        self.deadline_s = inf if self._is_read_paused else self._loop.time() + self._progress_s

    async def _send_streamed(self, body: AsyncIterator[bytes], content_length: int | None) -> None:
        await send_body(self, body, content_length)
        self._upload = None
        self._note_unsent()
        if self._stream is not None:
            self._expect_progress()
        else:
            self.deadline_s = self._loop.time() + self._first_byte_s

    def _on_upload_done(self, reply: asyncio.Future[Response], task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._upload is not task:
            return  # it ended well, or it was stopped here
        if error is None:
            self.abandon(reply)
        else:
            self._fail(error)

    def _stop_upload(self) -> None:
        """The rest of the request will not be sent, so nothing can follow it here."""
        if self._upload is not None:
            upload, self._upload = self._upload, None
            self._reader.is_reusable = False
            upload.cancel()

    def _note_unsent(self) -> int:
        self._unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._unsent
