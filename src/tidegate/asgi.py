"""The entry for ASGI servers: `uvicorn tidegate.asgi:app`, and `Gateway` to mount in your own app.

`app` reads TIDEGATE_CONFIG, else ./tidegate.yaml, when the server starts it. Each server process
opens a gateway of its own; they share the embedded store of one data directory.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tidegate import __version__, gateway
from tidegate.config import Settings
from tidegate.edge.asgi import AsgiDoor, Receive, Scope, Send
from tidegate.edge.collector import calm_collector
from tidegate.gateway import Node, announced

DEFAULT_CONFIG: Final = Path("tidegate.yaml")


class Gateway(gateway.Gateway):
    """A gateway that is an ASGI application as well, for `app.mount("/", gateway)`."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._stack = AsyncExitStack()
        node = Node.here("asgi", __version__, self.config)
        await self._stack.enter_async_context(announced(self.store, node))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._stack.aclose()
        finally:
            await super().__aexit__(kind, error, traceback)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)

    @cached_property
    def _door(self) -> AsgiDoor:
        return AsgiDoor(self)


def _configured() -> Gateway:
    path = Settings.read().config
    if path is None and not DEFAULT_CONFIG.exists():
        raise FileNotFoundError(
            f"There is no configuration: ./{DEFAULT_CONFIG} does not exist. "
            "Name a file with TIDEGATE_CONFIG, or write one with `tidegate init`."
        )
    return Gateway.from_file(path or DEFAULT_CONFIG)


@asynccontextmanager
async def _serving() -> AsyncIterator[Gateway]:
    async with _configured() as gateway:
        # The process is the gateway's own, unlike one that a gateway is mounted in.
        with calm_collector():
            yield gateway


app: Any = AsgiDoor.owning(_serving)
