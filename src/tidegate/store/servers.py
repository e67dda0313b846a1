"""The servers of one store, and how this process finds them: shared by all its connections there.

One server; or whichever Sentinels name; or the primaries of a Cluster. Who wants a connection or
a tracking gets it here, so that the three are told apart in this one place. Starts nothing itself:
what follows a change runs as long as something is connected.
"""

from collections.abc import Callable
from typing import TypeAlias

from tidegate.store.address import Address
from tidegate.store.cluster import ClusterConnection
from tidegate.store.connection import Connection, Prepare
from tidegate.store.sentinel import Sentinels
from tidegate.store.topology import Topology
from tidegate.store.tracking import Tracking

StoreConnection: TypeAlias = Connection | ClusterConnection


class Servers:
    def __init__(
        self, address: Address, *, before_connect: Callable[[], None] | None = None
    ) -> None:
        self.address = address
        self._before_connect = before_connect
        self.sentinels = Sentinels(address) if address.service else None
        self.topology = Topology(address) if address.is_cluster else None

    def connection(
        self, *, timeout_s: float, name: str = "tidegate", prepare: Prepare | None = None
    ) -> StoreConnection:
        """Return a new connection, not started; `prepare` is called for each link it makes."""
        if self.topology is not None:
            return ClusterConnection(
                self.address, self.topology, timeout_s=timeout_s, name=name, prepare=prepare
            )
        return Connection(
            self.address,
            timeout_s=timeout_s,
            name=name,
            before_connect=self._before_connect,
            prepare=prepare,
            sentinels=self.sentinels,
        )

    def tracking(self) -> Tracking:
        """Return a new tracking, which starts with its first watch."""
        return Tracking(
            self.address,
            before_connect=self._before_connect,
            sentinels=self.sentinels,
            topology=self.topology,
        )
