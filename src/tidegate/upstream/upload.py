"""Sends a request body that streams: one piece in hand, and none pulled while the peer is slow.

Knows the two framings of a request body and nothing of connections; the sink says when to wait.
A streamed upload alone costs a Task: an early answer must be able to interrupt a client that
sends nothing, which a coroutine awaiting the client's next piece could not be.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from tidegate.http.errors import PolicyFailed
from tidegate.http.framing import LAST_CHUNK, chunk


class Sink(Protocol):
    def write(self, piece: bytes) -> None: ...

    def drained(self) -> asyncio.Future[None] | None:
        """None if more may be written now, else what to await first."""


async def send_body(sink: Sink, body: AsyncIterator[bytes], content_length: int | None) -> None:
    """Write the whole of `body`: sized, or in chunks where its length is not known.

    Raises what the iterator raises, and PolicyFailed if it yields not as much as was announced:
    a request must never end where its sender did not mean it to. A sized body is over with its
    last byte; the iterator is not asked whether it is as well, since the answer may come first.
    """
    if content_length is None:
        async for piece in body:
            if piece:  # an empty chunk would end the body
                sink.write(chunk(piece))
                if (room := sink.drained()) is not None:
                    await room
        sink.write(LAST_CHUNK)
        return
    left = content_length
    while left:
        piece = await anext(body, b"")
        if not piece:
            raise PolicyFailed(f"The request body lacks {left} of {content_length} bytes")
        left -= len(piece)
        if left < 0:
            raise PolicyFailed(f"The request body exceeds the {content_length} bytes announced")
        sink.write(piece)
        if left and (room := sink.drained()) is not None:
            await room
