"""The pytest fixtures of the kit. The store is real and shared by the session; tests own it one
at a time, so each begins with it empty."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio

from tidegate.config import Redis
from tidegate.store import EmbeddedServer, Store, open_store
from tidegate.testing.kit import Kit, open_kit

OpenKit: TypeAlias = Callable[..., Awaitable[Kit]]
"""Takes what `open_kit` takes; what it opens is closed when the test ends."""


@pytest.fixture(scope="session")
def tidegate_store_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of one embedded store, which runs as long as the session."""
    directory = tmp_path_factory.mktemp("store")
    server = EmbeddedServer(directory)
    server.try_join()
    yield directory
    server.leave()


@pytest_asyncio.fixture
async def tidegate_store(tidegate_store_directory: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    store = await open_store(Redis(timeout=1.0), tidegate_store_directory)
    try:
        await store.execute("FLUSHALL")
        yield store
    finally:
        await store.aclose()


@pytest_asyncio.fixture
async def tidegate_kit(tidegate_store: Store) -> AsyncIterator[OpenKit]:
    """Call it with what `open_kit` takes, as often as the test needs."""
    async with AsyncExitStack() as opened:

        async def open_one(**options: object) -> Kit:
            return await opened.enter_async_context(
                open_kit(tidegate_store, **options)  # type: ignore[arg-type]
            )

        yield open_one
