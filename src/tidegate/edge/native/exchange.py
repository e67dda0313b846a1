"""One request's life: hand it to the core, write the response, release it exactly once.

The connection starts an exchange when its turn has come and is told when it has ended; parsing,
queueing and flow control are the connection's. An exchange that has something to wait for is one
Task. Cancelling it (the client went away) cancels whatever the core awaits. A response that fails
after its head has left cannot be mended, only cut: the connection is reset, so that nobody takes it
for complete.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from tidegate.edge.native.body import RequestBody, Source
from tidegate.edge.native.outlet import Outlet
from tidegate.edge.native.response_head import interim_head, response_framing, response_head
from tidegate.edge.native.state import DoorState
from tidegate.edge.pipeline import (
    BodyLengthWrong,
    UnsafeResponse,
    answer_to,
    closes_connection,
    logger,
    pieces_of,
    release,
)
from tidegate.gateway import OWN_FIELDS
from tidegate.http import GatewayError, Headers, Outcome, Request, Response
from tidegate.http.framing import LAST_CHUNK, Framing, chunk

UNREAD_BYTES_MAX: Final = 64 * 1024
"""So much of a body that nobody wanted is read and dropped to keep its connection."""

# Members of an Enum by their own names: looking one up on its class costs 85 ns (Python 3.11).
_ABORTED: Final = Outcome.ABORTED
_COMPLETE: Final = Outcome.COMPLETE
_NONE: Final = Framing.NONE
_CLOSE: Final = Framing.CLOSE
_CHUNKED: Final = Framing.CHUNKED


class Wire(Source, Protocol):
    """The connection, as an exchange sees it."""

    @property
    def outlet(self) -> Outlet: ...

    @property
    def has_followers(self) -> bool:
        """Whether requests wait behind this one."""

    def exchange_ended(self, exchange: "Exchange") -> None:
        """The response is written, or never will be."""

    def reset(self) -> None:
        """Cut the connection so that the client notices."""


class Exchange:
    """Made when a head is parsed, begun by one of the two starts.

    `failure` is answered in place of the core.
    """

    __slots__ = (
        "_answer",
        "_door",
        "_outlet",
        "_wire",
        "body",
        "closes",
        "failure",
        "head_bytes",
        "is_answered",
        "is_releasing",
        "request",
        "task",
    )

    def __init__(self, door: DoorState, wire: Wire, request: Request[Any] | None) -> None:
        self._answer: Awaitable[Response] | None = None
        """What the Task that has not begun yet will await."""
        self._door = door
        self._wire = wire
        self._outlet = wire.outlet
        self.request = request
        self.body: RequestBody | None = None
        self.closes = False
        self.failure: GatewayError | None = None
        self.head_bytes = 0
        self.is_answered = False
        self.is_releasing = False
        self.task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin in a Task, after those that began before."""
        self.task = loop.create_task(self._run(None))

    def start_at_once(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin here and now; if there is nothing to wait for, end here and now as well."""
        try:
            answer = self._door.handle(self._settled_request())
        except Exception as error:
            answer = self._refusal(error)
        if (
            isinstance(answer, Response)
            and isinstance(answer.body, bytes)
            and not answer.needs_release
            and not self._outlet.is_paused
        ):
            self._write_whole(answer)
            self._end()
            return
        self._answer = answer
        self.task = loop.create_task(self._run(answer))

    def cancel(self) -> None:
        """The client went away."""
        task = self.task
        if task is None or self.is_releasing:
            return
        if self._answer is None:
            task.cancel()
        else:
            # Cancelled before its first step, the Task would leave what it was to await.
            task.get_loop().call_soon(self.cancel)

    async def _run(self, answer: Awaitable[Response] | None) -> None:
        response: Response | None = None
        outcome: Outcome = _ABORTED
        self._answer = None
        try:
            try:
                response = await (answer or self._door.handle(self._settled_request()))
            except Exception as error:
                response = self._refusal(error)
            framing = self._write_head(response)
            if framing is not None:
                await self._stream(response, framing)
            if self._outlet.is_paused:
                await self._outlet.drained()
            outcome = _COMPLETE
        except UnsafeResponse as error:
            # Nothing has left yet: the client gets a 500 of our own.
            self._write_head(answer_to(error, self.request))
        except Exception as error:
            logger.warning("a response was cut: %s", error, exc_info=not _is_expected(error))
            self._wire.reset()
        except BaseException:
            # Cancelled: by the connection, which is gone then, or by the core's own doing.
            self._wire.reset()
            raise
        finally:
            if response is not None and (response.needs_release or outcome is _ABORTED):
                # From here on the connection no longer cancels the task.
                self.is_releasing = True
                await release(response, outcome)
            self._end()

    def _end(self) -> None:
        if self.request is not None:
            # It leads back here: such circles cost the collector a tenth of a worker's CPU.
            self.request.on_informational = None
        self._wire.exchange_ended(self)

    def _refusal(self, error: Exception) -> Response:
        if closes_connection(error):
            self.closes = True
        return answer_to(error, self.request)

    def _write_whole(self, response: Response) -> None:
        """Write a response that is there as a whole, or a 500 in its place if it is not safe."""
        try:
            self._write_head(response)
        except UnsafeResponse as error:
            self._write_head(answer_to(error, self.request))

    def _settled_request(self) -> Request[Any]:
        """Return the request with its body; raise the failure that takes its place."""
        if self.failure is not None:
            self.closes = True
            self._door.refused(self.failure)
            raise self.failure
        request = self.request
        assert request is not None  # noqa: S101 - there is a failure otherwise
        body = self.body
        if body is not None:
            request.body = body.take_whole() if body.is_complete else body
        if request.http_version == "1.1":
            request.on_informational = self._write_interim
        return request

    def _write_interim(self, status: int, fields: Headers) -> None:
        """Pass on a 1xx of the upstream's (RFC 9110, section 15.2) while its answer is awaited.

        100 and 101 concern one connection each: what they answer was never asked upstream.
        """
        if not self.is_answered and status not in (100, 101):
            fields.remove_all(OWN_FIELDS)  # of the answer, and the gateway's to say
            self._outlet.write(interim_head(status, fields))

    def _write_head(self, response: Response) -> Framing | None:
        """Write the head, with the body if it is bytes; return the framing of one that is not.

        Raises UnsafeResponse.
        """
        request = self.request
        if request is None:
            method, http_version = "GET", "1.1"
        else:
            method, http_version = request.method, request.http_version
        framing, length = response_framing(response, method, http_version)
        door = self._door
        if (self.body is not None or framing is _CLOSE or door.is_draining) and self._must_close(
            response, framing
        ):
            self.closes = True
        head = response_head(response, framing, length, http_version, door.date, closes=self.closes)
        self.is_answered = True
        body = response.body
        if framing is _NONE:
            self._outlet.write(head)
        elif isinstance(body, bytes):
            self._outlet.write(head + body)
        else:
            self._outlet.write(head)
            return framing
        return None

    async def _stream(self, response: Response, framing: Framing) -> None:
        """Write the pieces as they come; raise if they are not what the head announced."""
        outlet = self._outlet
        assert not isinstance(response.body, bytes)  # noqa: S101 - see _write_head
        async for piece in pieces_of(response.body, response.content_length):
            outlet.write(chunk(piece) if framing is _CHUNKED else piece)
            if outlet.is_paused:
                await outlet.drained()
        if framing is _CHUNKED:
            outlet.write(LAST_CHUNK)

    def _must_close(self, response: Response, framing: Framing) -> bool:
        """Whether the connection cannot, or shall not, carry another request after this one."""
        if framing is _CLOSE or (self._door.is_draining and not self._wire.has_followers):
            return True
        body = self.body
        if body is None or body.is_complete:
            return False
        if body.is_awaiting_invitation:
            # The client may send the body all the same or not: what follows is ambiguous.
            return True
        if not isinstance(response.body, bytes):
            return False  # it may yet be read, while the answer streams
        length = None if self.request is None else self.request.content_length
        return length is not None and length - body.received_bytes > UNREAD_BYTES_MAX


def _is_expected(error: Exception) -> bool:
    return isinstance(error, (GatewayError, BodyLengthWrong))
