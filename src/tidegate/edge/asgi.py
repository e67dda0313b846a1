"""The ASGI door: the same pipeline inside any ASGI server, or mounted in any ASGI application.

What the server has parsed is checked again (head.py), because ASGI servers check neither target
nor Host. What ASGI cannot carry is lost here: 1xx but 100, trailers, reason phrases, the
difference between no query and an empty one; Date and Server are the server's to write. Mounted
under a prefix (`root_path`), the path that is routed and forwarded is what follows the prefix,
as every mounted application sees it.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Self

from tidegate.config import Config
from tidegate.edge.asgi_exchange import AsgiExchange
from tidegate.edge.asgi_head import HeadReader
from tidegate.edge.asgi_types import Receive, Scope, Send
from tidegate.edge.asgi_watch import Watch
from tidegate.edge.pipeline import Pipeline, answer_to, logger
from tidegate.gateway import GatewayNotOpen
from tidegate.http import GatewayError

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
        self._heads = HeadReader()
        self.watch = Watch()
        self._config: Config | None = None
        self._timeout_s: float | None = None
        """Of the configuration: reading it there costs half a microsecond."""

    @classmethod
    def owning(cls, make: Callable[[], Opened]) -> Self:
        """Return a door that makes and opens its pipeline when the server starts it."""
        door = cls(None)
        door._make = make
        return door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        pipeline = self._pipeline
        if pipeline is not None and pipeline.config is not self._config:
            self._config = pipeline.config
            self._timeout_s = pipeline.config.listen.bounds.body_timeout
        exchange = AsgiExchange(scope, receive, send, self._timeout_s)
        try:
            if pipeline is None:
                raise GatewayNotOpen(_NO_LIFESPAN)
            request, connection = self._heads.read(scope, pipeline.body_bytes_max)
        except GatewayNotOpen as error:
            logger.error("%s", error)
            await exchange.send(answer_to(GatewayError(str(error))), closes=False)
        except GatewayError as error:
            if pipeline is not None:
                pipeline.refused(error)
            await exchange.send(answer_to(error), closes=error.closes_connection)
        else:
            await exchange.run(pipeline, self.watch, request, connection)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                # Closing before it is accepted is a refusal: the server answers 403.
                await send({"type": "websocket.close", "code": 1000})
            case other:
                raise NotImplementedError(f"ASGI scope {other!r} is not known here")

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
