"""Validate: the request body stays within the route's bound, announced or not.

An announced length is refused before a byte is read; a chunked body is counted as it is pulled.
The edge has a bound of its own, the largest of all routes, for what no route has claimed yet.
"""

from collections.abc import AsyncIterator, Awaitable

from tidegate.config import Route
from tidegate.http import Response
from tidegate.http.errors import ContentTooLarge
from tidegate.policies.policy import Context, Next, Policy, Request


class BodyBound:
    """Refuses bodies over the bound with 413."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max

    def ask(self, request: Request, context: Context) -> None:
        """Nothing is asked; present so that policies behind this one may ask."""

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        body = request.body
        if isinstance(body, bytes):
            if len(body) > self._bytes_max:
                raise self._too_large()
        elif request.content_length is None:
            request.body = self._counted(body)
        elif request.content_length > self._bytes_max:
            raise self._too_large()
        return call_next(request)

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        total = 0
        async for piece in body:
            total += len(piece)
            if total > self._bytes_max:
                raise self._too_large()
            yield piece

    def _too_large(self) -> ContentTooLarge:
        return ContentTooLarge(f"The body may hold at most {self._bytes_max} bytes on this route")


def build(route: Route, bytes_max_default: int, bytes_max_of_doors: int) -> Policy | None:
    """Return the policy, or None where the doors hold the same bound already."""
    bytes_max = bytes_max_default if route.body_bytes is None else route.body_bytes
    return None if bytes_max == bytes_max_of_doors else BodyBound(bytes_max)
