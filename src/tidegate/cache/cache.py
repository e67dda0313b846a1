"""The cache of one worker, opened and closed with its gateway: storage, memory, single flight.

Entries lie in the store of `redis`, or in one of their own (`cache.url`), always on a connection
of the cache's own. A store that cannot be reached at the start is no error: until it is there,
everything is a miss. So it is while the store of `redis` may evict (see `_refuse_eviction`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Self

from tidegate.cache.bodies import Unfinished
from tidegate.cache.flights import Flights
from tidegate.cache.memory import Memory
from tidegate.cache.scripts import COMMIT, READ, TOUCH, WRITE
from tidegate.cache.storage import Storage
from tidegate.config.schema import CacheStore
from tidegate.http.errors import StoreUnavailable
from tidegate.store import (
    CommandFailed,
    Servers,
    Store,
    StoreConnection,
    StoreRefused,
    Tracking,
)
from tidegate.store.address import Address
from tidegate.store.facts import info_fields
from tidegate.store.pipeline import Pipeline

logger = logging.getLogger("tidegate.cache")

START_WAIT_S: Final = 1.0


class Cache:
    """Made by `open_cache`. What all routes that cache share in a worker."""

    def __init__(
        self,
        settings: CacheStore,
        connection: StoreConnection,
        tracking: Tracking,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.connection = connection
        self.storage = Storage(connection, settings.bytes)
        self.memory = Memory(tracking, settings.memory_bytes)
        self.flights = Flights()
        self.unfinished = Unfinished()
        self.entry_bytes_max = min(settings.entry_bytes, settings.bytes)
        self._close = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def forget(self, urls: list[bytes]) -> list[asyncio.Future[Any]]:
        """Make all entries of `urls` (places.url_digest) invalid: in this worker now, elsewhere
        when the store has done it. Never raises; the replies may."""
        self.memory.drop_urls(urls)
        return self.storage.invalidate(urls)

    async def aclose(self) -> None:
        self.memory.close()
        await self._close()


async def open_cache(settings: CacheStore, store: Store) -> Cache:
    """Open the cache beside `store`.

    Raises StoreRefused for a URL that names no store, or one of its own that evicts. One that is
    found to evict later, and the store of `redis`, which has other uses, is as good as down.
    """
    is_apart = settings.url is not None
    servers = Servers(Address.parse(settings.url)) if settings.url else store.servers
    tracking = servers.tracking() if is_apart else store.tracking
    is_refused = False

    async def prepare(pipeline: Pipeline) -> None:
        nonlocal is_refused
        try:
            await _refuse_eviction(pipeline)
        except StoreRefused as refusal:
            if not (is_apart or is_refused):  # once, not at each attempt
                logger.warning("nothing is cached: %s", refusal)
            is_refused = True
            raise
        is_refused = False
        await _load_scripts(pipeline)

    connection = servers.connection(
        timeout_s=store.connection.timeout_s, name="tidegate-cache", prepare=prepare
    )

    async def close() -> None:
        try:
            if is_apart:
                await tracking.aclose()
        finally:
            await connection.aclose()

    cache = Cache(settings, connection, tracking, close)
    connection.start()
    if not store.is_up:
        return cache  # an outage, or nobody means to send requests: there is nothing to wait for
    try:
        await connection.wait_up(START_WAIT_S)
    except StoreUnavailable as error:
        logger.warning("the cache's store is not there yet: %s", error)
    except BaseException as error:
        if is_apart or not isinstance(error, StoreRefused):
            await asyncio.shield(cache.aclose())
            raise
    return cache


async def _refuse_eviction(pipeline: Pipeline) -> None:
    """Raise StoreRefused if the store may evict what says that an entry is forgotten.

    Also where it evicts only what expires by itself: generations do. Whether the store of `redis`
    may hold limits and keys is the store's own room to judge, which also says when a store does
    not tell.
    """
    told = None
    with suppress(CommandFailed):
        told = await pipeline.execute(b"INFO", b"memory", timeout_s=START_WAIT_S)
    policy = info_fields(told).get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise StoreRefused(
            f"the cache's store at {pipeline.server} has maxmemory-policy {policy}: it would "
            "evict what says that an entry is forgotten, and old answers would be given again. "
            "Set maxmemory-policy to noeviction (the cache keeps to `cache.bytes` by itself), or "
            "give the cache a store of its own that has it (`cache.url`)."
        )


async def _load_scripts(pipeline: Pipeline) -> None:
    """Make the scripts known before they are used: a piece that was sent again by its source
    would come behind the next one."""
    loads: list[asyncio.Future[Any]] = [
        pipeline.execute(b"SCRIPT", b"LOAD", script.source)
        for script in (COMMIT, WRITE, READ, TOUCH)
    ]
    for load in loads:
        with suppress(CommandFailed):
            await load
