"""The store as the other rooms see it: one object over connection, tracking and embedded server.

`open_store` decides from the configuration what there is to connect to. A store that may not be
used is refused at every link, not only at the start (see facts.py), so a gateway that comes up
during an outage is held to the same rule later.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from tidegate.config.schema import Redis
from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address
from tidegate.store.cluster import ClusterConnection
from tidegate.store.durable import fence_in, is_durable
from tidegate.store.embedded import EmbeddedServer
from tidegate.store.errors import StoreRefused, unavailable
from tidegate.store.facts import Ask, StoreFacts, learn, together
from tidegate.store.pipeline import Pipeline
from tidegate.store.servers import Servers

START_WAIT_S: Final = 5.0
DURABLE_TIMEOUT_S: Final = 2.0
"""`appendfsync everysec` confirms after 100 ms in the median and 201 at most (spikes, a)."""
LEAVING_GUARD_S: Final = 10.0
"""A guard that is ending the last users' server may take so long to kill it (guard.STOP_MAX_S)."""


class Store:
    """Made by `open_store`. `execute`, `run` and `call` are the connection's own, no detour."""

    def __init__(self, address: Address, timeout_s: float, embedded: EmbeddedServer | None) -> None:
        repair = embedded.ensure_guard if embedded is not None else None
        self.servers = Servers(address, before_connect=repair)
        self.is_cluster: Final = address.is_cluster
        """Keys are spread: one command or script reaches those of one hash slot only."""
        self._embedded = embedded
        self._facts: StoreFacts | None = None
        self._watch: asyncio.Task[None] | None = None
        self.connection = self.servers.connection(timeout_s=timeout_s, prepare=self._learn)
        self.execute = self.connection.execute
        self.run = self.connection.run
        self.call = self.connection.call
        self.tracking = self.servers.tracking()

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
        shown, sentinels = self.connection.address.redacted, self.servers.sentinels
        if isinstance(self.connection, ClusterConnection):
            asked = [
                self._ask(server.execute, server.address.redacted)
                for server in self.connection.primaries
            ]
            if not asked:
                raise unavailable(f"No node of the Cluster at {shown} can be reached")
            return together(await asyncio.gather(*asked), shown, self._topology())
        facts = await self._ask(self.execute, shown)
        return facts if sentinels is None else replace(facts, topology=await sentinels.described())

    async def wait_durable(self, timeout_s: float = DURABLE_TIMEOUT_S) -> bool:
        """Return whether all writes answered before this call are safe by now: see durable.py."""
        facts, topology = self._facts, self.servers.topology
        if facts is None:
            return False
        address = self.connection.address
        if topology is None:
            if self.servers.sentinels is not None:
                try:
                    address = await self.servers.sentinels.primary()
                except (StoreUnavailable, StoreRefused):
                    return False
            return await is_durable(address, facts, timeout_s)
        confirmed = await asyncio.gather(
            *(
                is_durable(
                    address.at(shard.primary), facts, timeout_s, fence=fence_in(shard.ranges)
                )
                for shard in topology.view
            )
        )
        return bool(confirmed) and all(confirmed)

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
        self._facts = await self._ask(pipeline.execute, pipeline.server)

    async def _ask(self, ask: Ask, server: str) -> StoreFacts:
        is_embedded = self._embedded is not None
        return await learn(ask, server, is_embedded=is_embedded, is_cluster=self.is_cluster)

    def _topology(self) -> str:
        view = () if self.servers.topology is None else self.servers.topology.view
        replicas = sum(len(shard.replicas) for shard in view)
        alone = [str(shard.primary) for shard in view if not shard.replicas]
        told = f"Cluster: {len(view)} primaries, {replicas} replicas"
        return told + (f"; without a replica: {', '.join(alone)}" if alone else "")

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
