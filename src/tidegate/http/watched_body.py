"""A body that streams past somebody who looks at it; closing it closes what is watched.

How each piece is looked at is a subclass's to say, in its own `__anext__`: it is called for each.
"""

from collections.abc import AsyncIterator
from typing import Self


class WatchedBody:
    __slots__ = ("_body",)

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await self._body.__anext__()

    async def aclose(self) -> None:
        """Close what is watched, if it can be closed: a door does so when it gives up."""
        close = getattr(self._body, "aclose", None)
        if close is not None:
            await close()
