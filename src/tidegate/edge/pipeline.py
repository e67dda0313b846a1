"""What the doors need of the core, and the rules of answering that hold for both.

The edge alone turns errors into responses: a GatewayError into its problem, anything else into a
500 that tells the client nothing and the log everything, once. Header values are never logged.
"""

import logging
import os
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

from tidegate.config import Config
from tidegate.http import GatewayError, Outcome, Request, Response, problem_response
from tidegate.http.headers import name_of

logger = logging.getLogger("tidegate.edge")


class Pipeline(Protocol):
    """The gateway, as the doors see it."""

    @property
    def config(self) -> Config: ...

    @property
    def body_bytes_max(self) -> int:
        """The largest request body, in bytes, that any route takes."""

    def handle(self, request: Request[Any]) -> Awaitable[Response]:
        """Return the response if it is there at once, else what to await it from.

        Raises, at once or when awaited, what `answer_to` answers.
        """

    def refused(self, error: GatewayError, *, is_cut: bool = False) -> None:
        """Take note of what never becomes a request: a door answers it itself, or cuts it."""


class UnsafeResponse(Exception):
    """A response that cannot be written without becoming another message than was meant."""


class BodyLengthWrong(Exception):
    """A response body that is not as long as its Content-Length said."""


def answer_to(error: Exception, request: Request[Any] | None = None) -> Response:
    """Return the response that tells the client of `error`, which kept it from its own.

    It has an id whatever failed: that of `request`, or one made here if there is no request that
    the core has given one.
    """
    if isinstance(error, GatewayError):
        response = problem_response(error)
        if b"x-request-id" not in map(name_of, response.headers):
            response.headers.append((b"x-request-id", _request_id(request)))
        return response
    request_id = _request_id(request)
    logger.error("request %s failed inside the gateway", request_id.decode(), exc_info=error)
    response = problem_response(GatewayError())
    response.headers.append((b"x-request-id", request_id))
    return response


def _request_id(request: Request[Any] | None) -> bytes:
    # A request has no context, and its fields are not checked, before it has come to the core.
    context = getattr(request, "context", None)
    known: bytes = getattr(context, "request_id", b"")
    return known or os.urandom(16).hex().encode()


def closes_connection(error: Exception) -> bool:
    """Whether nothing more can be read from a client whose request met `error`."""
    return isinstance(error, GatewayError) and error.closes_connection


def unsent_length(response: Response) -> int | None:
    """Return how long the body would be that is not sent (HEAD, 304), if that is known."""
    if response.content_length is None and isinstance(response.body, bytes) and response.body:
        return len(response.body)
    return response.content_length


async def pieces_of(body: AsyncIterator[bytes], length: int | None) -> AsyncIterator[bytes]:
    """Yield what is to be sent of `body`; raise BodyLengthWrong unless it comes to `length`."""
    sent = 0
    async for piece in body:
        if not piece:
            continue
        sent += len(piece)
        if length is not None and sent > length:
            raise BodyLengthWrong("the body is longer than announced")
        yield piece
    if length is not None and sent < length:
        raise BodyLengthWrong("the body is shorter than announced")


async def release(response: Response, outcome: Outcome) -> None:
    """Close the response. What fails here cannot concern the client any more."""
    try:
        try:
            if outcome is Outcome.ABORTED and (close := getattr(response.body, "aclose", None)):
                await close()
        finally:
            await response.aclose(outcome)
    except Exception as error:
        logger.error("a response could not be released", exc_info=error)
