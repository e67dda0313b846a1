"""What the doors need of the core, and how an error of the core becomes an answer.

The edge alone turns errors into responses: a GatewayError into its problem, anything else into a
500 that tells the client nothing and the log everything, once. Header values are never logged.
"""

import logging
from typing import Any, Protocol

from tidegate.config import Config
from tidegate.http import GatewayError, Request, Response, problem_response

logger = logging.getLogger("tidegate.edge")


class Pipeline(Protocol):
    """The gateway, as the doors see it."""

    @property
    def config(self) -> Config: ...

    @property
    def body_bytes_max(self) -> int:
        """The largest request body, in bytes, that any route takes."""

    async def handle(self, request: Request[Any]) -> Response: ...


def answer_to(error: Exception) -> Response:
    """Return the response that tells the client of `error`, which kept it from its own."""
    if isinstance(error, GatewayError):
        return problem_response(error)
    logger.error("a request failed inside the gateway", exc_info=error)
    return problem_response(GatewayError())


def closes_connection(error: Exception) -> bool:
    """Whether nothing more can be read from a client whose request met `error`."""
    return isinstance(error, GatewayError) and error.closes_connection
