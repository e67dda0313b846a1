"""A response body that is still arriving: the async iterator between connection and door.

Pulling is the backpressure: beyond the high-water mark the connection stops reading, and a pull,
which takes all there is, lets it go on. The stream holds pieces and knows nothing of HTTP.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tidegate.http.message import Outcome

HIGH_WATER_BYTES: Final = 64 * 1024
"""One read can exceed it by the loop's read size (256 KB): both together bound what is held."""


class BodyStream:
    """Single-use: pull until StopAsyncIteration. An error of the upstream is raised by the pull,
    after the bytes that arrived before it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_drained: Callable[[], None],
        abandon: Callable[[], None],
    ) -> None:
        """`on_drained` is called when reading may go on, `abandon` if nobody wants the rest."""
        self._loop = loop
        self._on_drained = on_drained
        self._abandon = abandon
        self._pieces: list[bytes] = []
        self._size = 0
        self._wake: asyncio.Future[None] | None = None
        self._is_ended = False
        self._error: BaseException | None = None

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._is_ended:
                raise StopAsyncIteration
            self._wake = self._loop.create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        pieces, self._pieces = self._pieces, []
        self._size = 0
        if not self._is_ended:
            self._on_drained()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def is_full(self) -> bool:
        return self._size >= HIGH_WATER_BYTES

    def put(self, pieces: list[bytes]) -> None:
        """Add what arrived."""
        self._pieces += pieces
        self._size += sum(map(len, pieces))
        if self._pieces:
            self._wake_up()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come: the body is whole, or `error` says why it is not."""
        if self._is_ended:
            return
        self._is_ended = True
        self._error = error
        # They lead back here by way of the response: a circle that only the collector would find.
        self._on_drained = self._abandon = _nothing
        self._wake_up()

    def close(self, outcome: Outcome) -> None:
        """Release the connection if the body is not whole yet: the upstream request ends here.

        Whatever the outcome: a door that is done before the body is will not read the rest.
        """
        if not self._is_ended:
            self._abandon()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _nothing() -> None:
    """Nobody is left to be told."""
