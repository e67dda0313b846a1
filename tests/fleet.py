"""Several real servers on loopback: a Cluster of six, and a primary with replicas and Sentinels.

Their time-outs are short, so that a fail-over takes about a second. Each process is ended by its
pid. A test may kill what it likes: `Cluster.heal` starts it again and waits until all is well.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import redis

from tests.servers import Server, free_ports, make_directory, make_server, server_binary, until

NODE_TIMEOUT_MS = 1000
DOWN_AFTER_MS = 500
SERVICE = "main"
SHARDS = ((0, 5460), (5461, 10922), (10923, 16383))


class Cluster:
    """Three primaries, each with a replica."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])
        return f"redis+cluster://{places}"

    def create(self) -> None:
        for server in self.servers:
            server.start()
        clients = [server.client for server in self.servers]
        for client, slots in zip(clients, SHARDS, strict=False):
            client.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
        for epoch, client in enumerate(clients, start=1):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
        for client in clients:
            for other in self.servers:
                client.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        ids = [client.execute_command("CLUSTER MYID") for client in clients]
        until(
            lambda: all(self._knows(client, len(self.servers)) for client in clients),
            "every node knows the others",
        )
        for client, primary in zip(clients[3:], ids[:3], strict=True):
            client.execute_command("CLUSTER REPLICATE", primary)
        self.wait_well()

    def server_of(self, key: str) -> Server:
        """Return the primary that has the slot of `key`."""
        client = self._somebody()
        slot = client.execute_command("CLUSTER KEYSLOT", key)
        for first, last, primary, *_ in self._slots(client):
            if first <= slot <= last:
                return self._at(primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    @property
    def primaries(self) -> list[Server]:
        return [self._at(primary[1]) for _, _, primary, *_ in self._slots(self._somebody())]

    def replica_of(self, primary: Server) -> Server:
        for _, _, node, *replicas in self._slots(self._somebody()):
            if node[1] == primary.port:
                return self._at(replicas[0][1])
        raise AssertionError(f"no replica of port {primary.port}")

    def flush(self) -> None:
        for primary in self.primaries:
            primary.client.flushall()

    def heal(self) -> None:
        for server in self.servers:
            server.revive()
        self.wait_well()

    def wait_well(self) -> None:
        until(self._is_well, "the Cluster is well")

    def _is_well(self) -> bool:
        views = set()
        for server in self.servers:
            info = server.client.execute_command("CLUSTER INFO")
            if info["cluster_state"] != "ok":
                return False
            role = server.client.execute_command("ROLE")
            if role[0] in ("slave", b"slave") and role[3] not in ("connected", b"connected"):
                return False
            slots = self._slots(server.client)
            if any(len(entry) < 4 for entry in slots):
                return False
            views.add(repr(sorted((entry[0], entry[2][1]) for entry in slots)))
        return len(views) == 1

    def _knows(self, client: Any, count: int) -> bool:
        info = client.execute_command("CLUSTER INFO")
        return int(info["cluster_known_nodes"]) == count and info["cluster_state"] == "ok"

    def _somebody(self) -> Any:
        for server in self.servers:
            with suppress(redis.ConnectionError, redis.TimeoutError):
                server.client.ping()
                return server.client
        raise AssertionError("no node answers")

    def _slots(self, client: Any) -> list[Any]:
        with client.client() as plain:
            connection = plain.connection
            connection.send_command("CLUSTER", "SLOTS")
            slots: list[Any] = connection.read_response()
            return slots

    def _at(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)


class Sentinels:
    """A primary with two replicas, and three Sentinels that watch them."""

    def __init__(self, servers: list[Server], sentinels: list[Server]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}"

    def create(self) -> None:
        primary, *replicas = self.servers
        for server in self.servers:
            server.start()
        for replica in replicas:
            replica.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        until(
            lambda: all(
                server.client.info("replication").get("master_link_status") == "up"
                for server in replicas
            ),
            "the replicas are connected",
        )
        for sentinel in self.sentinels:
            sentinel.start()
        self.wait_well()

    @property
    def primary(self) -> Server:
        """Return who the Sentinels say it is."""
        _, port = self.sentinels[0].client.execute_command(
            "SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE
        )
        return next(server for server in self.servers if server.port == int(port))

    def heal(self) -> None:
        for server in (*self.servers, *self.sentinels):
            server.revive()
        self.wait_well()

    def wait_well(self) -> None:
        until(self._is_well, "the Sentinels are well")

    def _is_well(self) -> bool:
        told = [sentinel.client.sentinel_master(SERVICE) for sentinel in self.sentinels]
        if len({state["port"] for state in told}) > 1:
            return False
        if any(state["num-other-sentinels"] != 2 or state["num-slaves"] != 2 for state in told):
            return False
        for sentinel in self.sentinels:
            for replica in sentinel.client.sentinel_slaves(SERVICE):
                if replica["master-link-status"] != "ok" or replica["is_sdown"]:
                    return False
        if any(state["flags"] != "master" for state in told):
            return False
        roles = [server.client.execute_command("ROLE") for server in self.servers]
        return [role[0] for role in roles].count("master") == 1


@contextmanager
def cluster(
    *, node_timeout_ms: int = NODE_TIMEOUT_MS, needs_all_slots: bool = True
) -> Iterator[Cluster]:
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms)]
    options += ["--cluster-require-full-coverage", "yes" if needs_all_slots else "no"]
    with ExitStack() as stack:
        ports = free_ports(6, cluster_bus=True)
        made = Cluster([make_server(stack, port, *options) for port in ports])
        made.create()
        yield made


@contextmanager
def sentinels(*, down_after_ms: int = DOWN_AFTER_MS) -> Iterator[Sentinels]:
    with ExitStack() as stack:
        ports = free_ports(6)
        servers = [make_server(stack, port) for port in ports[:3]]
        watchers = [_sentinel(stack, port, ports[0], 2, down_after_ms) for port in ports[3:]]
        made = Sentinels(servers, watchers)
        made.create()
        yield made


@contextmanager
def sentinel_of(port: int) -> Iterator[Server]:
    """A Sentinel that watches whatever listens on `port`, alone."""
    with ExitStack() as stack:
        sentinel = _sentinel(stack, free_ports(1)[0], port, 1, DOWN_AFTER_MS)
        sentinel.start()
        yield sentinel


def _sentinel(stack: ExitStack, port: int, watched: int, quorum: int, down_after_ms: int) -> Server:
    directory = make_directory(stack)
    config = directory / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {watched} {quorum}\n"
        f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
        f"sentinel failover-timeout {SERVICE} 3000\n"
    )
    sentinel = Server(port, directory, [server_binary(), str(config), "--sentinel"])
    stack.callback(sentinel.end)
    return sentinel
