"""Several real servers on loopback: a Cluster of six, and a primary with replicas and Sentinels.

Their time-outs are short, so that a fail-over takes about a second. Each process is ended by its
pid. A test may kill what it likes: `Cluster.heal` starts it again and waits until all is well.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tidegate.store import embedded

NODE_TIMEOUT_MS = 1000
DOWN_AFTER_MS = 500
SERVICE = "main"
READY_S = 30.0
SHARDS = ((0, 5460), (5461, 10922), (10923, 16383))
QUIET = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
PINGED = ("--repl-ping-replica-period", "1")
"""A node tells of a replica only once that has received something."""
_TRIES = 50


def server_binary() -> str:
    """Debian's Redis where it is installed (7.0, the oldest that many run), else our Valkey."""
    return shutil.which("redis-server") or valkey_binary()


def valkey_binary() -> str:
    return embedded._server_binary()


class Server:
    """One process; `start` again after it was killed has it come back on the same port."""

    def __init__(self, port: int, directory: Path, command: list[str]) -> None:
        self.port = port
        self.client: Any = redis.Redis(port=port, socket_timeout=5, decode_responses=True)
        self._directory = directory
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def alone(cls, port: int, *options: str, binary: str = "") -> Iterator["Server"]:
        """A server that belongs to no others, started and ended here."""
        with ExitStack() as stack:
            server = _server(stack, port, *options, binary=binary)
            server.start()
            yield server

    def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        with (self._directory / "out").open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdout=out,
                stderr=out,
                env=dict(os.environ, LC_ALL="C"),
            )
        until(self._answers, f"port {self.port} answers")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def revive(self) -> None:
        """Start it again if it was killed, have it go on if it was stopped."""
        self.start()
        self.send(signal.SIGCONT)

    def end(self) -> None:
        self.client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        return bool(self.client.ping())


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
        made = Cluster([_server(stack, port, *options) for port in ports])
        made.create()
        yield made


@contextmanager
def sentinels(*, down_after_ms: int = DOWN_AFTER_MS) -> Iterator[Sentinels]:
    with ExitStack() as stack:
        ports = free_ports(6)
        servers = [_server(stack, port) for port in ports[:3]]
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


def until(claim: Callable[[], bool], what: str) -> None:
    """Poll until `claim` holds; what is not there yet is not news."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with suppress(redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            if claim():
                return
        time.sleep(0.02)
    raise AssertionError(f"not within {READY_S} s: {what}")


def _server(stack: ExitStack, port: int, *options: str, binary: str = "") -> Server:
    directory = _directory(stack)
    command = [
        binary or server_binary(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        *QUIET,
        *PINGED,
        *options,
    ]
    server = Server(port, directory, command)
    stack.callback(server.end)
    return server


def _sentinel(stack: ExitStack, port: int, watched: int, quorum: int, down_after_ms: int) -> Server:
    directory = _directory(stack)
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


def _directory(stack: ExitStack) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="tg-fleet-", dir="/tmp"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def free_ports(count: int, *, cluster_bus: bool = False) -> list[int]:
    """Return ports that nobody listens on; with `cluster_bus`, nor on those 10,000 above."""
    found: list[int] = []
    with ExitStack() as stack:
        for _ in range(_TRIES * count):
            if len(found) == count:
                break
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            if not cluster_bus:
                found.append(port)
                continue
            # Ports given freely are above 32768, where there is no room for the bus.
            port -= 20_000
            try:
                for beside in (port, port + 10_000):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", beside))
            except OSError:
                continue
            found.append(port)
    return found
