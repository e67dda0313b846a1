"""One request's life under ASGI: hand it to the core, send the response, release it exactly once.

ASGI tells of a client that went away only to whoever calls `receive`. So once nothing more of the
request's body is wanted, a watcher does, and cancels the handling. A response that fails after
its head has left raises into the server, which then truncates it. A client that neither sends nor
reads is waited for no longer than `body_timeout`: for each piece, since ASGI shows no less.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Self

from tidegate.config import EdgeBounds
from tidegate.edge.head import Connection
from tidegate.edge.patience import within
from tidegate.edge.pipeline import (
    Pipeline,
    UnsafeResponse,
    answer_to,
    closes_connection,
    pieces_of,
    release,
)
from tidegate.edge.upload_pace import UploadPace, too_slow
from tidegate.http import HeaderField, Outcome, Request, Response
from tidegate.http.errors import BadRequest, ContentTooLarge, GatewayError, RequestTimeout
from tidegate.http.framing import Framing
from tidegate.http.headers import HOP_BY_HOP

WATCH_AFTER_S: Final = 0.05
"""A request that lasts longer is worth a task that waits for its client to go away: making and
cancelling one costs a fifth of what a short request costs in all."""
WHOLE_BODY_BYTES_MAX: Final = 64 * 1024
"""An announced body up to this size is awaited, and handed on as bytes."""
_SERVERS_OWN: Final = HOP_BY_HOP | {b"content-length", b"date", b"server"}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientGone(BadRequest):
    title = "The client closed the connection before the body was complete"


class ClientStalled(Exception):
    """The client did not take its response in time."""


class AsgiBody:
    """A request body still to be received. Single use; `has_ended` once nobody receives more."""

    def __init__(self, receive: Receive, bytes_max: int, bounds: EdgeBounds) -> None:
        self.has_ended = asyncio.Event()
        self.is_complete = False
        self.is_pulled = False
        self._receive = receive
        self._bytes_max = bytes_max
        self._bounds = bounds
        self._pace = UploadPace(bounds)
        self._bytes = 0
        self._pieces: list[bytes] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.is_pulled = True
        while not self._pieces:
            if self.is_complete:
                raise StopAsyncIteration
            await self.fetch()
        return self._pieces.pop(0)

    async def fetch(self) -> None:
        """Receive one message; raise a GatewayError if the body is cut, late or too large."""
        if self.has_ended.is_set():
            raise BadRequest("The body was not read before the response ended")
        clock = asyncio.get_running_loop().time
        began_s = clock()
        try:
            message = await within(self._bounds.body_timeout, self._receive())
        except TimeoutError:
            self.has_ended.set()
            raise RequestTimeout("The body did not arrive in time") from None
        if message["type"] == "http.disconnect":
            self.has_ended.set()
            raise ClientGone
        if piece := message.get("body", b""):
            self._bytes += len(piece)
            if self._bytes > self._bytes_max:
                raise ContentTooLarge(f"The body may hold at most {self._bytes_max} bytes here")
            self._pieces.append(piece)
        if not message.get("more_body", False):
            self.is_complete = True
            self.has_ended.set()
        elif self._pace.is_behind(clock() - began_s, self._bytes):
            self.has_ended.set()
            raise too_slow(self._bounds)

    def take_whole(self) -> bytes:
        return b"".join(self._pieces)


class AsgiExchange:
    """Made for each `http` scope. `timeout_s` bounds each wait for the client; None: no bound."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, timeout_s: float | None) -> None:
        self._method: str = scope["method"]
        self._is_http1 = str(scope["http_version"]).startswith("1")
        self._receive = receive
        self._send = send
        self._timeout_s = timeout_s
        self._is_gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def run(
        self,
        pipeline: Pipeline,
        request: Request[Any],
        connection: Connection,
        body_bytes_max: int,
    ) -> None:
        """Answer the request; return quietly if the client goes away."""
        try:
            bounds = pipeline.config.listen.bounds
            body = await self._settled_body(request, connection, body_bytes_max, bounds)
        except ClientGone:
            return
        except GatewayError as error:
            await self.send(answer_to(error), closes=True)
            return
        try:
            await self._answer(pipeline, request, body)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._is_gone or task is None or task.uncancel() > 0:
                raise

    async def send(
        self, response: Response, *, closes: bool, unread: AsgiBody | None = None
    ) -> None:
        """Send a whole response. Raises UnsafeResponse before anything has left.

        A response that streams may be made of the request's body as it comes; if nothing of that
        was pulled for the first piece, nothing will be.
        """
        is_empty = self._method == "HEAD" or response.status in (204, 304)
        length = _length(response, is_empty=is_empty)
        fields = _fields(response, length)
        if closes and self._is_http1:
            fields.append((b"connection", b"close"))
        await self._emit(
            {"type": "http.response.start", "status": response.status, "headers": fields}
        )
        body = b"" if is_empty else response.body
        if not isinstance(body, bytes):
            async for piece in pieces_of(body, length):
                await self._emit({"type": "http.response.body", "body": piece, "more_body": True})
                if unread is not None and not unread.is_pulled:
                    unread.has_ended.set()
            body = b""
        await self._emit({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(
        self, pipeline: Pipeline, request: Request[Any], body: AsgiBody | None
    ) -> None:
        response: Response | None = None
        outcome = Outcome.ABORTED
        closes = False
        loop = asyncio.get_running_loop()
        watch = loop.call_later(WATCH_AFTER_S, self._start_watching, body, asyncio.current_task())
        try:
            try:
                response = await pipeline.handle(request)
            except Exception as error:
                closes = closes_connection(error)
                response = answer_to(error, request)
            if body is not None and isinstance(response.body, bytes):
                body.has_ended.set()
            try:
                await self.send(response, closes=closes, unread=body)
                outcome = Outcome.COMPLETE
            except UnsafeResponse as error:
                await self.send(answer_to(error, request), closes=closes)
        finally:
            # First, so that a client which leaves now does not cut the release short.
            watch.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
            if response is not None:
                await release(response, outcome)

    async def _emit(self, message: Message) -> None:
        try:
            await within(self._timeout_s, self._send(message))
        except TimeoutError:
            raise ClientStalled("the client did not take its response in time") from None

    async def _settled_body(
        self, request: Request[Any], connection: Connection, bytes_max: int, bounds: EdgeBounds
    ) -> AsgiBody | None:
        """Give the request its body, and return it if it is still to be received."""
        length = request.content_length
        if connection.framing is Framing.NONE and self._is_http1:
            return None
        body = AsgiBody(self._receive, bytes_max, bounds)
        if connection.framing is Framing.NONE:
            # Later versions frame a body that no field announces.
            await body.fetch()
        elif (
            length is not None
            and length <= WHOLE_BODY_BYTES_MAX
            and not connection.expects_continue
        ):
            while not body.is_complete:
                await body.fetch()
        if body.is_complete:
            request.body = body.take_whole()
            return None
        request.body = body
        return body

    def _start_watching(self, body: AsgiBody | None, handling: asyncio.Task[Any] | None) -> None:
        self._watcher = asyncio.create_task(self._watch(body, handling))

    async def _watch(self, body: AsgiBody | None, handling: asyncio.Task[Any] | None) -> None:
        """Cancel the handling when the client goes away."""
        if body is not None:
            await body.has_ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if handling is not None:
            handling.cancel()


def _length(response: Response, *, is_empty: bool) -> int | None:
    """What Content-Length says, which the server then frames by; None for no such field."""
    if response.status in (204, 304):
        return None
    if is_empty and response.content_length is not None:
        return response.content_length
    if isinstance(response.body, bytes):
        return len(response.body) if response.body or not is_empty else None
    return response.content_length


def _fields(response: Response, length: int | None) -> list[HeaderField]:
    """Return the fields to send; raise UnsafeResponse if one would end the head early."""
    fields = [field for field in response.headers if field[0] not in _SERVERS_OWN]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    joined = b"".join([b"".join(field) for field in fields])
    if b"\n" in joined or b"\r" in joined or b"\0" in joined:
        raise UnsafeResponse("a response field holds a line break or NUL")
    if not 200 <= response.status <= 599:
        raise UnsafeResponse(f"{response.status} is not the status of a final response")
    return fields
