"""Bodies on their way into the store and out of it, in pieces.

In: the client is sent what the service sends, as before, while a copy gathers and leaves for the
store a piece at a time. Whatever goes wrong on that side ends the storing and never the answer;
what ends the answer early (the service fails, the client goes away) ends the storing too, and
what was written is deleted, or expires if the worker dies. Only `commit`, after the last byte,
makes an entry of it. Out: one piece is sent while the next one is fetched, so that two are held.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

from tidegate.cache.storage import INLINE_BYTES_MAX, Storage
from tidegate.cache.stored import Stored
from tidegate.http import Outcome, Response
from tidegate.http.errors import BadGateway, GatewayError
from tidegate.http.message import Body

logger = logging.getLogger("tidegate.cache")

PIECE_BYTES: Final = 256 * 1024
UNFINISHED_BYTES_MAX: Final = 64 * 2**20
"""Of all bodies that one worker is storing: they are not yet under the cache's own bound."""
READ_TIMEOUT_S: Final = 2.0
"""For pieces after the first: the head has left, so waiting is better than cutting the answer."""

OnWhole = Callable[[bytes, bytes, int], None]
"""Is given the body, or the name under which it lies, and its length."""


class Unfinished:
    """What all bodies that are being stored hold at this moment."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class StoringBody:
    """Stores the body of one response while it streams to the client.

    `on_whole` is called once, with the last byte; or `on_given_up` once, at any time before, with
    whether that is for the client's sake (it went away).
    """

    def __init__(
        self,
        storage: Storage,
        unfinished: Unfinished,
        response: Response,
        bytes_max: int,
        *,
        on_whole: OnWhole,
        on_given_up: Callable[[bool], None],
    ) -> None:
        assert not isinstance(response.body, bytes)  # noqa: S101 - those are stored at once
        self._storage = storage
        self._unfinished = unfinished
        self._source = response.body
        self._announced = response.content_length
        self._bytes_max = bytes_max
        self._on_whole = on_whole
        self._on_given_up = on_given_up
        self._gathered = bytearray()
        self._written = 0
        self._total = 0
        self._body_id = b""
        self._pending: asyncio.Future[Any] | None = None
        self._has_ended = False
        response.body = self._pieces()
        response.on_close(self._closed)

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._source:
                if not self._has_ended:
                    await self._keep(piece)
                yield piece
        except Exception:
            if not self._has_ended:
                self._give_up()
            raise
        if not self._has_ended:
            await self._finish()

    async def _keep(self, piece: bytes) -> None:
        self._total += len(piece)
        self._unfinished.bytes += len(piece)
        if self._total > self._bytes_max or self._unfinished.bytes > UNFINISHED_BYTES_MAX:
            self._give_up()
            return
        self._gathered += piece
        if len(self._gathered) >= PIECE_BYTES:
            await self._write()

    async def _write(self) -> None:
        """Send what has gathered, once the piece before has arrived."""
        if not await self._has_arrived():
            self._give_up()
            return
        if not self._body_id:
            self._body_id = os.urandom(12).hex().encode()
        piece = bytes(self._gathered)
        self._gathered.clear()
        self._pending = self._storage.write(self._body_id, self._written, piece)
        self._written += len(piece)

    async def _has_arrived(self) -> bool:
        """Whether all that was written so far is in the store; waits until its deadline."""
        if self._pending is None:
            return True
        try:
            return bool(await self._pending == self._written)
        except GatewayError as error:
            logger.info("a body is not stored: %s", error)
            return False

    async def _finish(self) -> None:
        if self._announced is not None and self._total != self._announced:
            self._give_up()
            return
        if self._total <= INLINE_BYTES_MAX:
            self._ended()
            self._on_whole(bytes(self._gathered), b"", self._total)
            return
        if self._gathered:
            await self._write()
        if self._has_ended:
            return
        # The commit counts what is there: nobody needs to wait for the last piece to arrive.
        self._ended()
        self._on_whole(b"", self._body_id, self._total)

    def _closed(self, outcome: Outcome) -> None:
        """The exchange is over: if the body has not ended by then, it never will."""
        if not self._has_ended:
            self._give_up(for_client=True)

    def _give_up(self, *, for_client: bool = False) -> None:
        self._ended()
        self._gathered.clear()
        if self._body_id:
            self._storage.drop(self._body_id)
        self._on_given_up(for_client)

    def _ended(self) -> None:
        self._has_ended = True
        self._unfinished.bytes -= self._total


async def gather_short(response: Response) -> None:
    """Read a body that was announced as short to its end, so that no client delays its storing.

    On any failure the response is released.
    """
    if isinstance(response.body, bytes):
        return
    length = response.content_length
    if length is None or length > INLINE_BYTES_MAX:
        return
    try:
        whole = b"".join([piece async for piece in response.body])
        if len(whole) != length:
            raise BadGateway("The service's answer is not as long as it said")
    except BaseException:
        await response.aclose(Outcome.ABORTED)
        raise
    response.body = whole


async def stored_body(storage: Storage, stored: Stored) -> Body | None:
    """Return the body of an entry; None if it lies apart and its beginning is not there."""
    if not stored.body_id:
        return stored.body
    first = None
    with suppress(GatewayError):
        first = await storage.read(stored.body_id, 0, PIECE_BYTES)
    length = stored.body_length
    if first is None or len(first) != min(PIECE_BYTES, length):
        return None
    return _pieces(storage, stored.body_id, length, first)


async def _pieces(
    storage: Storage, body_id: bytes, length: int, piece: bytes
) -> AsyncIterator[bytes]:
    position = len(piece)
    while position < length:
        following = storage.read(body_id, position, PIECE_BYTES, READ_TIMEOUT_S)
        yield piece
        piece = await following
        if len(piece) != min(PIECE_BYTES, length - position):
            raise BadGateway("A stored answer is not whole any more")
        position += len(piece)
    yield piece
