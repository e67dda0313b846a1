"""The store as the other rooms see it: one object over connection, tracking and embedded server.

`open_store` decides from the configuration what there is to connect to. A store that may not be
used is refused at every link, not only at the start (see facts.py), so a gateway that comes up
during an outage is held to the same rule later.
"""

import asyncio
from pathlib import Path
from typing import Final

from tidegate.config.schema import Redis
from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address
from tidegate.store.connection import Connection
from tidegate.store.embedded import EmbeddedServer
from tidegate.store.errors import CommandFailed, unavailable
from tidegate.store.facts import Ask, StoreFacts, learn
from tidegate.store.link import open_link
from tidegate.store.pipeline import Pipeline
from tidegate.store.tracking import Tracking

START_WAIT_S: Final = 5.0
DURABLE_TIMEOUT_S: Final = 2.0
"""`appendfsync everysec` confirms after 100 ms in the median and 201 at most (spikes, a)."""
LEAVING_GUARD_S: Final = 10.0
"""A guard that is ending the last users' server may take so long to kill it (guard.STOP_MAX_S)."""
FENCE_KEY: Final = b"tg:durable"


class Store:
    """Made by `open_store`. `execute`, `run` and `call` are the connection's own, no detour."""

    def __init__(self, address: Address, timeout_s: float, embedded: EmbeddedServer | None) -> None:
        repair = embedded.ensure_guard if embedded is not None else None
        self._embedded = embedded
        self._facts: StoreFacts | None = None
        self._watch: asyncio.Task[None] | None = None
        self.connection = Connection(
            address, timeout_s=timeout_s, before_connect=repair, prepare=self._learn
        )
        self.execute = self.connection.execute
        self.run = self.connection.run
        self.call = self.connection.call
        self.tracking = Tracking(address, before_connect=repair)

    @property
    def is_up(self) -> bool:
        return self.connection.is_up

    @property
    def facts(self) -> StoreFacts | None:
        """What the last link found; None if there never was one."""
        return self._facts

    @property
    def has_waitaof(self) -> bool:
        return self._facts is not None and self._facts.has_waitaof

    @property
    def warnings(self) -> list[str]:
        return list(self._facts.warnings) if self._facts is not None else []

    async def start(self, *, wait_s: float, require: bool) -> None:
        """Connect; if `require`, raise StoreUnavailable or StoreRefused where that fails."""
        self.connection.start()
        if self._embedded is not None:
            self._watch = asyncio.create_task(self._embedded.keep_guarded(), name="store guard")
        try:
            await self.connection.wait_up(wait_s)
        except StoreUnavailable as error:
            if require:
                raise self._explained(error) from None

    async def describe(self) -> StoreFacts:
        """Return fresh facts; raise StoreUnavailable if the store cannot be asked."""
        return await self._ask(self.execute)

    async def wait_durable(self, timeout_s: float = DURABLE_TIMEOUT_S) -> bool:
        """Return whether all writes answered before this call are on disk by now.

        False: the store cannot tell (no WAITAOF, AOF off) or did not in time. WAITAOF blocks its
        connection and speaks of that connection's writes only, so a link of its own writes a fence:
        what the server did before the fence is on disk with it.
        """
        facts = self._facts
        if facts is None or not facts.is_aof_on:
            return False
        if facts.fsync == "always":
            return True
        if not facts.has_waitaof:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                link = await open_link(
                    self.connection.address, timeout_s=timeout_s, name="tidegate-durable"
                )
                try:
                    link.execute(b"SET", FENCE_KEY, b"1")
                    local, _ = await link.execute(b"WAITAOF", 1, 0, round(timeout_s * 1000))
                finally:
                    link.abort("The fence is done")
        except (OSError, StoreUnavailable, CommandFailed):
            return False
        return bool(local >= 1)

    async def aclose(self) -> None:
        """Close all links and, of the embedded store, give up our share in it."""
        watch, self._watch = self._watch, None
        try:
            if watch is not None:
                watch.cancel()
                await asyncio.wait([watch])
            await self.tracking.aclose()
            await self.connection.aclose()
        finally:
            if self._embedded is not None:
                self._embedded.leave()

    async def _learn(self, pipeline: Pipeline) -> None:
        self._facts = await self._ask(pipeline.execute)

    async def _ask(self, ask: Ask) -> StoreFacts:
        address = self.connection.address.redacted
        return await learn(ask, address, is_embedded=self._embedded is not None)

    def _explained(self, error: StoreUnavailable) -> StoreUnavailable:
        """Return `error` with what the embedded server said last."""
        words = self._embedded.last_words() if self._embedded is not None else ""
        return unavailable(f"{error.detail}\nIts log says:\n{words}") if words else error


async def open_store(
    config: Redis, data_dir: Path, *, wait_s: float = START_WAIT_S, require: bool = True
) -> Store:
    """Open the store that `config.url` names; `embedded` lies in `data_dir`.

    With `require`, a store that is not there within `wait_s` is StoreUnavailable. Without it the
    result is returned as it is, down or not, and comes up by itself: for a worker that is replaced
    during an outage. StoreRefused (a wrong URL or directory, a store that evicts) is raised always
    where it is known by then.
    """
    embedded: EmbeddedServer | None = None
    if config.url == "embedded":
        embedded = EmbeddedServer(data_dir)
        await embedded.join(wait_s + LEAVING_GUARD_S)
    address = Address.parse(config.url) if embedded is None else embedded.address
    store = Store(address, config.timeout, embedded)
    try:
        await store.start(wait_s=wait_s, require=require)
    except BaseException:
        await asyncio.shield(store.aclose())
        raise
    return store
