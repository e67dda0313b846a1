"""A request body under ASGI: received when it is pulled, and no faster.

A client that stalls or trickles is waited for no longer than `body_timeout`: for each message,
since ASGI shows no less. ASGI tells of a client that went away only to whoever receives, so while
nobody pulls, now and then one message is received ahead.
"""

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Self

from tidegate.config import EdgeBounds
from tidegate.edge.asgi_types import Message, Receive
from tidegate.edge.patience import within
from tidegate.edge.upload_pace import UploadPace, too_slow
from tidegate.http.errors import BadRequest, ContentTooLarge, RequestTimeout

WHOLE_BODY_BYTES_MAX: Final = 64 * 1024
"""An announced body up to this size is awaited, and handed on as bytes."""
LOOK_S: Final = 1.0
"""How often a body that is not pulled is looked at, and half as often for each message that it has
brought: these are kept, and after an hour they are a dozen."""


class ClientGone(BadRequest):
    title = "The client closed the connection before the body was complete"


class AsgiBody:
    """A request body still to be received. Single use; `has_ended` once nobody receives more."""

    __slots__ = (
        "_ahead",
        "_bounds",
        "_bytes",
        "_bytes_max",
        "_is_fetching",
        "_pace",
        "_pieces",
        "_receive",
        "_waiter",
        "has_ended",
        "is_complete",
        "is_pulled",
    )

    def __init__(self, receive: Receive, bytes_max: int, bounds: EdgeBounds) -> None:
        self.has_ended = False
        self.is_complete = False
        self.is_pulled = False
        self._ahead: deque[asyncio.Task[Message]] = deque()
        """Messages received, or about to be, while nobody pulled."""
        self._is_fetching = False
        self._receive = receive
        self._bytes_max = bytes_max
        self._bounds = bounds
        self._pace: UploadPace | None = None
        """Made when a first message was not the last: most are."""
        self._bytes = 0
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

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
        if self.has_ended:
            raise _unread()
        began_s = monotonic()
        self._is_fetching = True
        try:
            coming = self._looked_ahead() if self._ahead else self._receive()
            message = await within(self._bounds.body_timeout, coming)
        except TimeoutError:
            self.end()
            raise RequestTimeout("The body did not arrive in time") from None
        finally:
            self._is_fetching = False
        if message["type"] == "http.disconnect":
            self.end()
            raise ClientGone
        if piece := message.get("body", b""):
            self._bytes += len(piece)
            if self._bytes > self._bytes_max:
                raise ContentTooLarge(f"The body may hold at most {self._bytes_max} bytes here")
            self._pieces.append(piece)
        if not message.get("more_body", False):
            self.is_complete = True
            self.end()
            return
        if self._pace is None:
            self._pace = UploadPace(self._bounds)
        if self._pace.is_behind(monotonic() - began_s, self._bytes):
            self.end()
            raise too_slow(self._bounds)

    def take_whole(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def end(self) -> None:
        """Nobody receives more of it."""
        self.has_ended = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def ended(self) -> bool:
        """Wait until nobody receives more, or the client has gone: say whether it has.

        For one waiter.
        """
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        try:
            while not self.has_ended:
                await asyncio.wait([waiter], timeout=LOOK_S * 2 ** len(self._ahead))
                if self.has_ended or self._is_fetching or not self.is_pulled:
                    continue
                looking = loop.create_task(self._received())
                self._ahead.append(looking)
                await asyncio.wait([looking, waiter], return_when=asyncio.FIRST_COMPLETED)
                if looking.done() and looking.result()["type"] == "http.disconnect":
                    return True
            return False
        finally:
            for looking in self._ahead:
                looking.cancel()

    async def _received(self) -> Message:
        return await self._receive()

    async def _looked_ahead(self) -> Message:
        """Return the first message that was received ahead, once it is there."""
        looking = self._ahead[0]
        await asyncio.wait([looking])
        self._ahead.popleft()
        if looking.cancelled():
            raise _unread()
        return looking.result()


def _unread() -> BadRequest:
    return BadRequest("The body was not read before the response ended")
