"""The connection to a Cluster: one pipelined connection for each primary, and commands by slot.

Speaks as Connection does, so that who asks need not know which of the two there is. Commands keep
their order on one server only. What a server sends elsewhere goes there with its waiter and its
deadline; where nobody can take it at the moment it waits, within its deadline, for who can. What
was in flight to a server that died has failed, as everywhere: it may have been run.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address, Place
from tidegate.store.connection import Connection, Prepare
from tidegate.store.errors import CommandFailed, StoreRefused, fail, unavailable
from tidegate.store.parked import Parked
from tidegate.store.redirects import HOPS_MAX, Repeatable, Routed, referral
from tidegate.store.scripts import Script, ScriptCall, pack
from tidegate.store.slots import SLOTS, NotRoutable, command_slot, key_slot
from tidegate.store.topology import Topology, View, incomplete

RETIRED_S: Final = 5.0
"""A server without slots is kept so long: what it was asked is answered, or sent on."""


class ClusterConnection:
    """Construct inside a running loop, `start`, and in the end `aclose`."""

    def __init__(
        self,
        address: Address,
        topology: Topology,
        *,
        timeout_s: float = 0.05,
        name: str = "tidegate",
        prepare: Prepare | None = None,
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._topology = topology
        self._name = name
        self._prepare = prepare
        self._servers: dict[Place, Connection] = {}
        self._by_slot: list[Connection | None] = [None] * SLOTS
        self._primaries: tuple[Connection, ...] = ()
        self._retiring: dict[Place, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._parked = Parked(self._route)
        self._view: View = ()
        """Of the topology, as it was applied."""
        self._changed = asyncio.Event()
        self._on_trip: Callable[[float], None] | None = None
        self._is_started = False

    def execute(
        self, *parts: bytes | str | int | float, timeout_s: float | None = None
    ) -> asyncio.Future[Any]:
        """Queue one command at the server of its first key."""
        command = pack(parts)
        try:
            slot = command_slot(parts)
        except NotRoutable as error:
            return self._failed(CommandFailed(f"CROSSSLOT {error}"))
        if slot is None:
            server = next((one for one in self._primaries if one.is_up), None)
            slot = -1
        else:
            server = self._by_slot[slot]
        if server is None:
            return self._failed(self._nobody(slot))
        return server.send(command, timeout_s, Routed(command, slot))

    def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes | int],
        timeout_s: float | None = None,
    ) -> asyncio.Future[Any]:
        """Queue a script by its hash; all its keys have the slot of the first."""
        return self.call(ScriptCall(script, keys, arguments), timeout_s)

    def call(self, call: ScriptCall, timeout_s: float | None = None) -> asyncio.Future[Any]:
        """Queue a script call that was packed before, whose slot is looked for once."""
        slot = call.slot
        if slot < 0:
            slot = call.slot = key_slot(call.keys[0])
        server = self._by_slot[slot]
        if server is None:
            return self._failed(self._nobody(slot))
        return server.call(call, timeout_s)

    @property
    def is_up(self) -> bool:
        """Whether some of the slots are served: others may be failing over meanwhile."""
        return any(server.is_up for server in self._primaries)

    @property
    def primaries(self) -> tuple[Connection, ...]:
        """The servers that have slots, for what must be asked of each."""
        return self._primaries

    def watch_trips(self, on_trip: Callable[[float], None]) -> None:
        """Have `on_trip` told how long trips to each server take, in seconds."""
        self._on_trip = on_trip
        for server in self._servers.values():
            server.watch_trips(on_trip)

    def start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._topology.join(self._told)
            self._apply()

    async def wait_up(self, timeout_s: float) -> None:
        """Wait until every slot is served; raise StoreUnavailable, saying what is missing, or
        StoreRefused."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while (why := self._missing()) is not None:
                    if isinstance(why, StoreRefused):
                        raise why
                    self._changed.clear()
                    await self._changed.wait()
                return
        assert why is not None  # noqa: S101 - the timeout ended the loop before its condition
        raise why

    async def aclose(self) -> None:
        if self._is_started:
            self._is_started = False
            await self._topology.leave(self._told)
        self._parked.close()
        for timer in self._retiring.values():
            timer.cancel()
        servers, self._servers = self._servers, {}
        self._primaries, self._by_slot = (), [None] * SLOTS
        await asyncio.gather(*(server.aclose() for server in servers.values()), *self._closing)

    def _told(self) -> None:
        """Take what the topology has learned, or that it cannot."""
        if self._view is not self._topology.view:
            self._apply()
        self._changed.set()

    def _apply(self) -> None:
        """Have a connection to each primary of the topology's view, and send slots there.

        What a view does not say stays: between two servers, for a moment, a slot is nobody's. Who
        had a slot keeps it until the link to its new server is there, and refers to that one.
        """
        by_slot = list(self._by_slot)
        view = self._view = self._topology.view
        for shard in view:
            server = self._server(shard.primary)
            for first, last in shard.ranges:
                before = by_slot[first : last + 1]
                by_slot[first : last + 1] = (
                    [server] * len(before)
                    if server.is_up
                    else [one if one is not None and one.is_up else server for one in before]
                )
        self._by_slot = by_slot
        self._primaries = tuple(self._servers[shard.primary] for shard in view)
        for place in self._servers.keys() - {shard.primary for shard in view}:
            self._retire(place)
        self._changed.set()

    def _server(self, place: Place) -> Connection:
        """Return the connection to a server; make it where there is none yet."""
        if (timer := self._retiring.pop(place, None)) is not None:
            timer.cancel()
        server = self._servers.get(place)
        if server is None:
            server = self._servers[place] = Connection(
                self.address.at(place),
                timeout_s=self.timeout_s,
                name=self._name,
                prepare=self._prepare,
                on_up=self._server_up,
                on_end=self._server_ended,
                on_redirect=partial(self._redirect, place.host),
            )
            if self._on_trip is not None:
                server.watch_trips(self._on_trip)
            server.start()
        return server

    def _retire(self, place: Place) -> None:
        if place not in self._retiring:
            loop = asyncio.get_running_loop()
            self._retiring[place] = loop.call_later(RETIRED_S, self._let_go, place)

    def _let_go(self, place: Place) -> None:
        del self._retiring[place]
        server = self._servers.pop(place)
        self._by_slot = [None if one is server else one for one in self._by_slot]
        closing = asyncio.create_task(server.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _server_up(self) -> None:
        if self._is_started:
            self._parked.send_soon()
            self._apply()

    def _server_ended(self) -> None:
        self._topology.refresh()

    def _redirect(
        self,
        host: str,
        message: str,
        waiter: asyncio.Future[Any],
        deadline: float,
        call: Repeatable,
    ) -> bool:
        """Send on what a server said is another's; False if the error is the answer."""
        if not self._is_started:
            return False
        if message.startswith(("CLUSTERDOWN", "MASTERDOWN")):
            self._topology.refresh()
            return False
        before, told = Routed.of(call), referral(message, host)
        if message.startswith("TRYAGAIN"):
            return self._parked.add(waiter, deadline, before)
        if told is None or before.slot < 0 or before.hops >= HOPS_MAX:
            return False
        server = self._server(told.place)
        if told.is_moved:
            self._topology.refresh()
        if server not in self._primaries:
            self._retire(told.place)  # unless the topology names it until then
        routed = before.referred_to(told.place, is_asking=not told.is_moved)
        if not server.is_up:
            return self._parked.add(waiter, deadline, routed)
        if told.is_moved:
            self._by_slot[told.slot] = server
        server.forward(waiter, deadline, routed, is_asking=routed.is_asking)
        return True

    def _route(self, waiter: asyncio.Future[Any], deadline: float, routed: Routed) -> bool:
        """Send what was parked; False if its server is not there yet."""
        server = self._by_slot[routed.slot]
        if routed.place is not None:
            server = self._servers.get(routed.place)
        if server is None or not server.is_up:
            return False
        server.forward(waiter, deadline, routed, is_asking=routed.is_asking)
        return True

    @staticmethod
    def _failed(error: Exception) -> asyncio.Future[Any]:
        return fail(asyncio.get_running_loop().create_future(), error)

    def _nobody(self, slot: int) -> StoreUnavailable:
        if slot < 0 or not self._topology.view:
            return unavailable("No server of the Cluster can be reached")
        return unavailable(f"No server of the Cluster has slot {slot}")

    def _missing(self) -> Exception | None:
        """Return what keeps the Cluster from serving every slot."""
        topology, shown = self._topology, self.address.redacted
        if not topology.view:
            failure = topology.failure
            if isinstance(failure, StoreRefused):
                return failure
            why = str(failure or "") or type(failure).__name__
            return unavailable(f"No node of the Cluster at {shown} can be reached: {why}")
        if topology.slots_served < SLOTS:
            return incomplete(topology.view, shown)
        if not topology.is_well:
            return unavailable(
                f"The Cluster at {shown} says that it does not serve (cluster_state:fail), as when "
                "most primaries are down, or for two seconds after it was made"
            )
        for server in self._primaries:
            if isinstance(server.failure, StoreRefused):
                return server.failure
            if not server.is_up:
                why = str(server.failure or "") or "no answer yet"
                return unavailable(
                    f"The Cluster at {shown} names {server.address.redacted} as a primary, which "
                    f"cannot be reached from here: {why} (is it what the node announces, see "
                    "cluster-announce-ip?)"
                )
        return None
