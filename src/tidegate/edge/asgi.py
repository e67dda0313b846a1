"""The ASGI door: the same pipeline inside any ASGI server, or mounted in any ASGI application.

What the server has parsed is checked again (head.py), because ASGI servers check neither target
nor Host. What ASGI cannot carry is lost here: 1xx but 100, trailers, reason phrases, the
difference between no query and an empty one; Date and Server are the server's to write. Mounted
under a prefix (`root_path`), the path that is routed and forwarded is what follows the prefix,
as every mounted application sees it.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self
from urllib.parse import quote, unquote_to_bytes

from tidegate.edge.asgi_exchange import AsgiExchange, Receive, Scope, Send
from tidegate.edge.head import Connection, read_head
from tidegate.edge.pipeline import Pipeline, answer_to, logger
from tidegate.gateway import GatewayNotOpen
from tidegate.http import GatewayError, Request
from tidegate.http.errors import BadRequest

Opened = AbstractAsyncContextManager[Pipeline]

_NO_LIFESPAN: Final = (
    "the gateway is not open: the ASGI server ran no lifespan; switch it on (uvicorn: "
    "`--lifespan on`), or write `async with gateway:` around what serves it"
)


__all__ = ["AsgiDoor", "Receive", "Scope", "Send"]


class AsgiDoor:
    """An ASGI 3 application over a pipeline that somebody has opened."""

    def __init__(self, pipeline: Pipeline | None) -> None:
        self._pipeline = pipeline
        self._make: Callable[[], Opened] | None = None
        self._opened: Opened | None = None

    @classmethod
    def owning(cls, make: Callable[[], Opened]) -> Self:
        """Return a door that makes and opens its pipeline when the server starts it."""
        door = cls(None)
        door._make = make
        return door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                # Closing before it is accepted is a refusal: the server answers 403.
                await send({"type": "websocket.close", "code": 1000})
            case other:
                raise NotImplementedError(f"ASGI scope {other!r} is not known here")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        pipeline = self._pipeline
        timeout_s = pipeline.config.listen.bounds.body_timeout if pipeline is not None else None
        exchange = AsgiExchange(scope, receive, send, timeout_s)
        try:
            if self._pipeline is None:
                raise GatewayNotOpen(_NO_LIFESPAN)
            body_bytes_max = self._pipeline.body_bytes_max
            request, connection = head_of(scope, body_bytes_max)
        except GatewayNotOpen as error:
            logger.error("%s", error)
            await exchange.send(answer_to(GatewayError(str(error))), closes=False)
        except GatewayError as error:
            await exchange.send(answer_to(error), closes=error.closes_connection)
        else:
            await exchange.run(self._pipeline, request, connection, body_bytes_max)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Open on start-up and close on shutdown, if this door owns its pipeline."""
        await receive()
        if self._make is not None:
            try:
                self._opened = self._make()
                self._pipeline = await self._opened.__aenter__()
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._opened is not None:
            self._pipeline = None
            await self._opened.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def head_of(scope: Scope, body_bytes_max: int) -> tuple[Request[Any], Connection]:
    """Return the request of an `http` scope, checked; raise a GatewayError if it must not be."""
    method: str = scope["method"]
    if method != method.upper():
        # Not every parser refuses it, and some services read `delete` as DELETE.
        raise BadRequest("The method must be in upper case")
    target = _path_below(scope)
    if scope["query_string"]:
        target = b"%b?%b" % (target, scope["query_string"])
    fields = [(name, b":", value) for name, value in scope["headers"]]
    request, connection = read_head(method, target, scope["http_version"], fields, body_bytes_max)
    client = scope.get("client")
    request.client = client[0] if client else ""
    request.scheme = "https" if scope.get("scheme") == "https" else "http"
    return request, connection


def _path_below(scope: Scope) -> bytes:
    """Return the raw path below `root_path`, the prefix this application is mounted under.

    `root_path` is decoded, the raw path is not, so the two are compared segment by segment.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode()
    root_path: str = scope.get("root_path") or ""
    prefix = root_path.rstrip("/").encode("utf-8", "surrogateescape").split(b"/")
    segments = raw.split(b"/")
    if len(prefix) == 1 or len(segments) < len(prefix):
        return raw
    if any(unquote_to_bytes(s) != p for s, p in zip(segments, prefix, strict=False)):
        return raw
    return b"/" + b"/".join(segments[len(prefix) :])
