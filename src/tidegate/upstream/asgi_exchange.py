"""One request answered by an application of this process: ASGI's messages, both ways streaming.

The application pulls the request's body, and its `send` waits while nobody takes the response: the
backpressure goes through both ways without a socket. When the client has left, or a deadline has
passed, the application is told (`http.disconnect`, and OSError from `send`) and left to end by
itself, as behind a server of its own. Deadlines are numbers that the upstream's sweep compares.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from math import inf
from typing import Any, Final

from tidegate.config.schema import Timeouts
from tidegate.http.errors import PolicyFailed
from tidegate.http.headers import HOP_BY_HOP, Headers, connection_options
from tidegate.http.message import Request, Response
from tidegate.upstream import failures
from tidegate.upstream.asgi_app import AsgiApp, Message
from tidegate.upstream.body_stream import BodyStream
from tidegate.upstream.header_fields import add_via

_DISCONNECT: Final = {"type": "http.disconnect"}

logger: Final = logging.getLogger("tidegate.upstream")


class ClientLeft(ConnectionResetError):
    """Raised by `send` once nobody waits for the response any more."""


class AsgiExchange:
    """`reply` gives the response, or the error instead of it; `abandon` ends it early."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, request: Request, timeouts: Timeouts, service: str
    ) -> None:
        self.reply: asyncio.Future[Response] = loop.create_future()
        self.deadline_s = loop.time() + timeouts.first_byte
        """On the loop's clock; `expire` is due then."""
        self._loop = loop
        self._first_byte_s, self._progress_s = timeouts.first_byte, timeouts.body_progress
        self._service = service
        self._body = request.body
        self._left = request.content_length
        self._is_body_taken = False
        self._pull: asyncio.Task[bytes | None] | None = None
        self._has_no_content = request.method == "HEAD"
        self._status = 0
        self._headers = Headers()
        self._length: int | None = None
        self._is_answered = False
        """The head has been handed on."""
        self._stream: BodyStream | None = None
        self._is_over = self._is_whole = False
        self._gone: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def run(self, app: AsgiApp, scope: dict[str, Any]) -> None:
        """Call the application; whatever it does, the exchange comes to an end."""
        try:
            await app.call(scope, self.receive, self.send)
        except ClientLeft:
            pass
        except Exception as error:
            if self._is_whole or not self._is_over:
                logger.error("%s raised", app.target, exc_info=error)
            self._fail(failures.unusable(self._service, "its application raised"))
        except BaseException:
            self._fail(failures.closed(self._service))
            raise
        else:
            what = "it is incomplete" if self._is_answered else "its application gave none"
            self._fail(failures.unusable(self._service, what))

    def abandon(self) -> None:
        """Nobody waits for the rest: the application is told."""
        self._fail(failures.closed(self._service))
        if self.reply.done() and not self.reply.cancelled():
            self.reply.exception()  # nobody else will look at it

    def expire(self) -> None:
        """The deadline has passed."""
        what = "go on with its answer" if self._is_answered else "answer"
        self._fail(failures.overdue(self._service, f"did not {what}"))

    # What the application calls.

    async def receive(self) -> Message:
        """Return the next piece of the request, or, once there is none, wait for the end."""
        while not self._is_over:
            if self._is_body_taken:
                await self._end()
            elif isinstance(self._body, bytes):
                self._is_body_taken = True
                return {"type": "http.request", "body": self._body, "more_body": False}
            elif (message := await self._piece(self._body)) is not None:
                return message
        return _DISCONNECT

    async def send(self, message: Message) -> None:
        """Take a part of the response; wait while too much of it is not taken by the client."""
        kind = message["type"]
        if kind == "http.response.start":
            if self._status:
                raise RuntimeError("the response has begun already")
            self._start(message["status"], message.get("headers", ()))
            return
        if kind != "http.response.body" or not self._status:
            raise RuntimeError(f"{kind} is not what comes next in a response")
        if self._is_over:
            if self._is_answered and self._stream is None:
                return  # the rest of a body that the answer does not have
            raise ClientLeft("the client has left")
        body = bytes(message.get("body", b""))
        self._answer(body, is_last=not message.get("more_body", False))
        if self._stream is not None and self._stream.is_full and not self._is_over:
            self.deadline_s = inf  # it is the client that is waited for
            self._room = self._loop.create_future()
            await asyncio.wait((self._room, self._end()), return_when=asyncio.FIRST_COMPLETED)

    # The request's body.

    async def _piece(self, body: AsyncIterator[bytes]) -> Message | None:
        """Return what the client sends next; None if the exchange ended or another call took it.

        A Task, because the application may stop waiting and ask again, which must lose nothing.
        """
        if self._pull is None:
            self.deadline_s = inf  # it is the client that is waited for
            self._pull = self._loop.create_task(_next(body))
            self._pull.add_done_callback(_looked_at)
        pull = self._pull
        await asyncio.wait((pull, self._end()), return_when=asyncio.FIRST_COMPLETED)
        if self._is_over or self._pull is not pull:
            return None
        self._pull = None
        self._expect_progress()
        error = failures.closed(self._service) if pull.cancelled() else pull.exception()
        if error is not None:
            self._fail(error)
            return None
        piece = pull.result()
        if self._left is not None:
            self._left -= len(piece or b"")
            if self._left < 0 or (piece is None and self._left):
                self._fail(PolicyFailed("The request body has not the length that was announced"))
                return None
        self._is_body_taken = piece is None or self._left == 0
        return {"type": "http.request", "body": piece or b"", "more_body": not self._is_body_taken}

    # The response.

    def _start(self, status: int, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the head. Raises into the application what it did wrong."""
        if not 200 <= status <= 599:
            raise RuntimeError(f"{status} is not the status of a response")
        headers = Headers((bytes(name).lower(), bytes(value).strip()) for name, value in fields)
        length = headers.get(b"content-length")
        self._length = None if length is None else int(length)
        headers.remove_all(HOP_BY_HOP | {b"content-length"} | connection_options(headers))
        add_via(headers, "1.1")
        self._status, self._headers = status, headers
        self._has_no_content = self._has_no_content or status in (204, 304)
        self._expect_progress()

    def _answer(self, body: bytes, *, is_last: bool) -> None:
        if self._stream is not None:
            if body:
                self._stream.put([body])
            self._expect_progress()
            if is_last:
                self._finish()
            return
        if self._has_no_content:
            self._hand_on(b"")
            self._finish()
        elif not is_last:
            self._stream = BodyStream(self._loop, self._drained, self.abandon)
            self._hand_on(self._stream)
            self._stream.put([body] if body else [])
            self._expect_progress()
        elif self._length not in (None, len(body)):
            raise RuntimeError("the body has not the length that Content-Length says")
        else:
            self._hand_on(body)
            self._finish()

    def _hand_on(self, body: bytes | BodyStream) -> None:
        response = Response(self._status, self._headers, body, content_length=self._length)
        if isinstance(body, BodyStream):
            response.on_close(body.close)
        self._is_answered = True
        if not self.reply.done():
            self.reply.set_result(response)

    # Endings.

    def _finish(self) -> None:
        """The response is whole."""
        self._is_whole = True
        stream = self._stream
        self._over()
        if stream is not None:
            stream.end()

    def _fail(self, error: BaseException) -> None:
        if self._is_over:
            return
        self._over()
        if self._stream is not None:
            self._stream.end(error)
        elif not self.reply.done():
            self.reply.set_exception(error)

    def _over(self) -> None:
        self._is_over = True
        self.deadline_s = inf
        if self._pull is not None:
            self._pull.cancel()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _end(self) -> asyncio.Future[None]:
        """Return a future of the exchange's end: few applications wait for it."""
        if self._gone is None:
            self._gone = self._loop.create_future()
            if self._is_over:
                self._gone.set_result(None)
        return self._gone

    def _drained(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
            self._expect_progress()

    def _expect_progress(self) -> None:
        if not self._is_over and self._pull is None:
            allowed_s = self._progress_s if self._status else self._first_byte_s
            self.deadline_s = self._loop.time() + allowed_s


def _looked_at(pull: asyncio.Task[bytes | None]) -> None:
    """What a pull raises once the exchange is over concerns nobody any more."""
    if not pull.cancelled():
        pull.exception()


async def _next(body: AsyncIterator[bytes]) -> bytes | None:
    """Return the next piece that is not empty; None: there is none. A coroutine for a Task."""
    async for piece in body:
        if piece:
            return piece
    return None
