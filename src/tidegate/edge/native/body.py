"""A request body that is still arriving: what the connection feeds and the handler pulls.

Pulling is the backpressure: the connection stops reading while more than a high-water mark waits
here, and goes on when it has been taken. 100 Continue leaves with the first pull, so that a
request refused by its head alone is never invited to send its body (RFC 9110, section 10.1.1).
"""

import asyncio
from collections import deque
from typing import Final, Protocol, Self

from tidegate.edge.upload_pace import UploadPace
from tidegate.http.errors import BadRequest, GatewayError

PIECES_MAX: Final = 64
"""Beyond, what waits is joined: a piece of two bytes is an object of fifty."""


class Source(Protocol):
    """The connection, as a body sees it."""

    def body_waits(self, count: int) -> None:
        """`count` bytes more wait for the handler."""

    def body_taken(self, count: int) -> None:
        """`count` bytes wait no longer."""

    def invite_body(self) -> None:
        """Send 100 Continue, unless a final response has begun."""


class RequestBody:
    """Single use. Iterate it for the pieces; it raises a GatewayError if the body was cut."""

    __slots__ = (
        "_error",
        "_pieces",
        "_source",
        "_waiter",
        "discarded_bytes",
        "is_awaiting_invitation",
        "is_complete",
        "is_discarding",
        "pace",
        "received_bytes",
        "waiting_bytes",
    )

    def __init__(self, source: Source, *, expects_continue: bool) -> None:
        self._source = source
        self._pieces: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: GatewayError | None = None
        self.is_awaiting_invitation = expects_continue
        self.is_complete = False
        self.is_discarding = False
        self.received_bytes = 0
        self.discarded_bytes = 0
        self.waiting_bytes = 0
        self.pace: UploadPace | None = None
        """Made by the first sweep that meets the body: most have come before one does."""

    # What the handler calls.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.is_complete:
                raise StopAsyncIteration
            if self.is_awaiting_invitation:
                self.is_awaiting_invitation = False
                self._source.invite_body()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces.popleft()
        self.waiting_bytes -= len(piece)
        self._source.body_taken(len(piece))
        return piece

    # What the connection and the exchange call.

    def take_whole(self) -> bytes:
        """Return the complete body, which nobody has begun to pull."""
        whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.waiting_bytes = 0
        self._source.body_taken(len(whole))
        return whole

    def feed(self, piece: bytes) -> None:
        self.received_bytes += len(piece)
        self.is_awaiting_invitation = False
        if self.is_discarding:
            self.discarded_bytes += len(piece)
            return
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) > PIECES_MAX:
            joined = b"".join(pieces)
            pieces.clear()
            pieces.append(joined)
        self.waiting_bytes += len(piece)
        self._source.body_waits(len(piece))
        self._wake()

    def complete(self) -> None:
        self.is_complete = True
        self._wake()

    def fail(self, error: GatewayError) -> None:
        """Let whoever pulls meet `error` once what has arrived is taken."""
        if not self.is_complete and self._error is None:
            self._error = error
            self._wake()

    def discard(self) -> None:
        """The response is done: drop what waits here and what is still to come."""
        self.fail(BadRequest("The body was not read before the response ended"))
        self.is_discarding = True
        dropped, self.waiting_bytes = self.waiting_bytes, 0
        self._pieces.clear()
        if dropped:
            self._source.body_taken(dropped)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
