"""The entry for ASGI servers: `uvicorn tidegate.asgi:app`, and `Gateway` to mount in your own app.

`app` reads TIDEGATE_CONFIG, else ./tidegate.yaml, when the server starts it. Each server process
opens a gateway of its own; they share the embedded store of one data directory.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tidegate import __version__, gateway
from tidegate.config import Config, Settings
from tidegate.edge.asgi import AsgiDoor, Receive, Scope, Send
from tidegate.edge.collector import calm_collector
from tidegate.gateway import Node, announced
from tidegate.store.gateways import Advertised, AnotherGateway, advertised, shown_store

log: Final = logging.getLogger("tidegate.asgi")

DEFAULT_CONFIG: Final = Path("tidegate.yaml")


class Gateway(gateway.Gateway):
    """A gateway that is an ASGI application as well, for `app.mount("/", gateway)`."""

    _file: Path | None = None
    """Where the configuration came from."""

    @classmethod
    def from_file(cls, path: str | Path, *, require_store: bool = True) -> Self:
        """Load the configuration at `path`, with environment and `.env` applied.

        Raises ConfigError with every problem of the file.
        """
        made = super().from_file(path, require_store=require_store)
        made._file = Path(path).absolute()
        return made

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await super().__aenter__()
            stack.push_async_callback(super().__aexit__, None, None, None)
            if self._file is not None:
                stack.enter_context(_told_of(self._file, self.config, self._data_dir.absolute()))
            node = Node.here("asgi", __version__, self.config)
            note_workers = self.parts.limiter.degraded.note_workers
            await stack.enter_async_context(announced(self.store, node, note_workers))
            await stack.enter_async_context(gateway.webhooks_delivered(self))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)

    @cached_property
    def _door(self) -> AsgiDoor:
        return AsgiDoor(self)


@contextmanager
def _told_of(file: Path, config: Config, data_dir: Path) -> Iterator[None]:
    """Let commands find the gateway. Beside another one it only says so: what starts it may not
    be there to give it a directory of its own, as in tests of an app that runs."""
    store = shown_store(config.redis, data_dir)
    with ExitStack() as stack:
        try:
            ours = Advertised(str(file), os.getpid(), store=store)
            stack.enter_context(advertised(data_dir, ours))
        except AnotherGateway as error:
            log.warning("%s", error)
        yield


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
