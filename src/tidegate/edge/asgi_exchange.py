"""One request's life under ASGI: hand it to the core, send the response, release it exactly once.

ASGI tells of a client that went away only to whoever calls `receive`. So once nothing more of the
request's body is wanted, a watcher does, and cancels the handling, if the request lasts
(asgi_watch.py). A response that fails after its head has left raises into the server, which then
truncates it. A client that does not read is waited for no longer than `body_timeout`: for each
piece, since ASGI shows no less. Hot: nothing is made for a request that most do not need.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from itertools import chain
from typing import Any, Final

from tidegate.config import EdgeBounds
from tidegate.edge.asgi_body import WHOLE_BODY_BYTES_MAX, AsgiBody, ClientGone
from tidegate.edge.asgi_types import Receive, Scope, Send
from tidegate.edge.asgi_watch import Watch
from tidegate.edge.head import Connection
from tidegate.edge.patience import begun
from tidegate.edge.pipeline import (
    Pipeline,
    UnsafeResponse,
    answer_to,
    closes_connection,
    pieces_of,
    release,
    unsent_length,
)
from tidegate.http import HeaderField, Outcome, Request, Response
from tidegate.http.errors import GatewayError
from tidegate.http.framing import Framing
from tidegate.http.headers import HOP_BY_HOP, breaks_line

_SERVERS_OWN: Final = HOP_BY_HOP | {b"content-length", b"date", b"server"}

# Members of an Enum by their own names: looking one up on its class costs 85 ns (Python 3.11).
_ABORTED: Final = Outcome.ABORTED
_COMPLETE: Final = Outcome.COMPLETE
_NONE: Final = Framing.NONE


class ClientStalled(Exception):
    """The client did not take its response in time."""


class AsgiExchange:
    """Made for each `http` scope. `timeout_s` bounds each wait for the client; None: no bound."""

    __slots__ = (
        "_body",
        "_handling",
        "_is_gone",
        "_is_http1",
        "_method",
        "_receive",
        "_send",
        "_timeout_s",
        "_watcher",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, timeout_s: float | None) -> None:
        self._method: str = scope["method"]
        self._is_http1: bool = scope["http_version"][0] == "1"
        self._receive = receive
        self._send = send
        self._timeout_s = timeout_s
        self._body: AsgiBody | None = None
        """If it is still to be received."""
        self._handling: asyncio.Task[Any] | None = None
        self._is_gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def run(
        self, pipeline: Pipeline, watch: Watch, request: Request[Any], connection: Connection
    ) -> None:
        """Answer the request; return quietly if the client goes away."""
        if connection.framing is not _NONE or not self._is_http1:
            try:
                bounds = pipeline.config.listen.bounds
                await self._settle_body(request, connection, pipeline.body_bytes_max, bounds)
            except ClientGone as error:
                pipeline.refused(error, is_cut=True)
                return
            except GatewayError as error:
                pipeline.refused(error)
                await self.send(answer_to(error), closes=True)
                return
        response: Response | None = None
        outcome: Outcome = _ABORTED
        closes = False
        self._handling = watch.begin(self)
        try:
            try:
                answer = pipeline.handle(request)
                response = answer if isinstance(answer, Response) else await answer
            except Exception as error:
                closes = closes_connection(error)
                response = answer_to(error, request)
            try:
                await self.send(response, closes=closes)
                outcome = _COMPLETE
            except UnsafeResponse as error:
                await self.send(answer_to(error, request), closes=closes)
        except asyncio.CancelledError:
            if not self._is_gone or self._handling is None or self._handling.uncancel() > 0:
                raise
        finally:
            # First, so that a client which leaves now does not cut the release short.
            watch.end(self)
            if self._watcher is not None:
                self._watcher.cancel()
            if response is not None and (response.needs_release or outcome is _ABORTED):
                await release(response, outcome)

    async def send(self, response: Response, *, closes: bool) -> None:
        """Send a whole response. Raises UnsafeResponse before anything has left."""
        body = response.body
        if self._body is not None and isinstance(body, bytes):
            self._body.end()
        is_empty = self._method == "HEAD" or response.status in (204, 304)
        length = _length(response, is_empty=is_empty)
        fields = _fields(response, length)
        if closes and self._is_http1:
            fields.append((b"connection", b"close"))
        head = {"type": "http.response.start", "status": response.status, "headers": fields}
        if (rest := begun(self._timeout_s, self._send(head))) is not None:
            await _taken(rest)
        if is_empty:
            body = b""
        elif not isinstance(body, bytes):
            await self._stream(pieces_of(body, length))
            body = b""
        end = {"type": "http.response.body", "body": body}
        if (rest := begun(self._timeout_s, self._send(end))) is not None:
            await _taken(rest)

    async def _stream(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all pieces but the end.

        They may be made of the request's body as it comes; if nothing of that was pulled for the
        first piece, nothing will be.
        """
        unread = self._body
        async for piece in pieces:
            message = {"type": "http.response.body", "body": piece, "more_body": True}
            if (rest := begun(self._timeout_s, self._send(message))) is not None:
                await _taken(rest)
            if unread is not None and not unread.is_pulled:
                unread.end()

    async def _settle_body(
        self, request: Request[Any], connection: Connection, bytes_max: int, bounds: EdgeBounds
    ) -> None:
        """Give the request its body, and keep it if it is still to be received."""
        length = request.content_length
        body = AsgiBody(self._receive, bytes_max, bounds)
        if connection.framing is _NONE:
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
        else:
            request.body = self._body = body

    def start_watching(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Cancel the handling when the client goes away."""
        if self._body is None or not await self._body.ended():
            while (await self._receive())["type"] != "http.disconnect":
                pass
        self._is_gone = True
        if self._handling is not None:
            self._handling.cancel()


async def _taken(rest: Awaitable[None]) -> None:
    """Wait for the client to take what is sent."""
    try:
        await rest
    except TimeoutError:
        raise ClientStalled("the client did not take its response in time") from None


def _length(response: Response, *, is_empty: bool) -> int | None:
    """What Content-Length says, which the server then frames by; None for no such field."""
    if not is_empty:
        body = response.body
        return len(body) if isinstance(body, bytes) else response.content_length
    return None if response.status in (204, 304) else unsent_length(response)


def _fields(response: Response, length: int | None) -> list[HeaderField]:
    """Return the fields to send; raise UnsafeResponse if one would end the head early."""
    fields = [field for field in response.headers if field[0] not in _SERVERS_OWN]
    if response.own is not None:
        fields += response.own.own_fields()
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    if breaks_line(b"".join(chain.from_iterable(fields))):
        raise UnsafeResponse("a response field holds a line break or NUL")
    if not 200 <= response.status <= 599:
        raise UnsafeResponse(f"{response.status} is not the status of a final response")
    return fields
