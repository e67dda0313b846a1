"""The store's own word on which keys changed, so that copies in this process may be trusted.

One subscription (see there), or, on a Cluster, one at each primary: copies are verified as long as
every one of them is. When slots get another server, a fail-over among others, all copies are
unverified until all have proven themselves anew. Nothing is queued: a change is handed to the
watchers as it is read.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from tidegate.store.address import Address, Place
from tidegate.store.sentinel import Sentinels
from tidegate.store.subscription import Subscription
from tidegate.store.topology import Topology, View

Watcher = Callable[[bytes | None], None]


class Tracking:
    """`watch` starts it. All watches of one tick share one subscription."""

    def __init__(
        self,
        address: Address,
        *,
        before_connect: Callable[[], None] | None = None,
        sentinels: Sentinels | None = None,
        topology: Topology | None = None,
    ) -> None:
        self._address = address
        self._before_connect = before_connect
        self._sentinels = sentinels
        self._topology = topology
        self._watchers: list[tuple[bytes, Watcher]] = []
        self.verified_until = 0.0
        """`time.monotonic()` up to which copies are verified, 0.0 where they are not: `is_live`
        without a call, for who compares it on each request."""
        self._subscriptions: dict[Place, Subscription] = {}
        """By server; where there is only one, or Sentinels name it, by no place in particular."""
        self._closing: set[asyncio.Task[None]] = set()
        self._view: View | None = None
        """Of the topology, as it was subscribed to."""
        self._is_started = False

    @property
    def is_live(self) -> bool:
        """Whether copies are verified: every change until less than 500 ms ago has been told.

        Reads the clock itself: a process that was stopped wakes up with its copies unverified.
        """
        return time.monotonic() < self.verified_until

    def watch(self, prefix: bytes, on_change: Watcher) -> Callable[[], None]:
        """Call `on_change` with each key under `prefix` that changed, and with None when any may
        have; return a function that ends the watch. Watchers must not raise.
        """
        entry = (prefix, on_change)
        self._watchers.append(entry)
        if not self._is_started:
            self._start()
        elif not all(one.is_covered for one in self._subscriptions.values()):
            self._distrust()
        return lambda: self._unwatch(entry)

    async def aclose(self) -> None:
        if self._is_started and self._topology is not None:
            await self._topology.leave(self._servers_changed)
        self._is_started = False
        subscriptions, self._subscriptions = self._subscriptions, {}
        await asyncio.gather(*(one.aclose() for one in subscriptions.values()), *self._closing)

    @property
    def prefixes(self) -> set[bytes]:
        return {prefix for prefix, _ in self._watchers}

    def changed(self, key: bytes) -> None:
        for prefix, on_change in tuple(self._watchers):
            if key.startswith(prefix):
                on_change(key)

    def doubted(self) -> None:
        self.verified_until = 0.0
        self._tell_all()

    def proven(self) -> None:
        """Take a proof; where there was none, what was read meanwhile may be stale and is told."""
        until = min((one.verified_until for one in self._subscriptions.values()), default=0.0)
        if until and not self.verified_until:
            self._tell_all()
        self.verified_until = until

    def _start(self) -> None:
        self._is_started = True
        if self._topology is None:
            self._subscribe_at(Place("", 0), self._address)
        else:
            self._topology.join(self._servers_changed)
            self._servers_changed()

    def _servers_changed(self) -> None:
        """Have a subscription at each primary, and believe none of what was known."""
        assert self._topology is not None  # noqa: S101 - see _start
        if self._view is self._topology.view:
            return  # told of a failure: the subscriptions know for themselves
        self._view = self._topology.view
        wanted = {shard.primary for shard in self._topology.view}
        for place in self._subscriptions.keys() - wanted:
            closing = asyncio.create_task(self._subscriptions.pop(place).aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        for place in wanted - self._subscriptions.keys():
            self._subscribe_at(place, self._address.at(place))
        self._distrust()

    def _subscribe_at(self, place: Place, address: Address) -> None:
        subscription = self._subscriptions[place] = Subscription(
            address, self, before_connect=self._before_connect, sentinels=self._sentinels
        )
        subscription.start()

    def _unwatch(self, entry: tuple[bytes, Watcher]) -> None:
        with suppress(ValueError):
            self._watchers.remove(entry)

    def _distrust(self) -> None:
        if not self._subscriptions:
            self.doubted()
        for one in self._subscriptions.values():
            one.distrust()

    def _tell_all(self) -> None:
        for _, on_change in tuple(self._watchers):
            on_change(None)
