"""A store on a Cluster of six real servers: where commands go, and what a fail-over costs."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Cluster
from tests.servers import Server, server_binary, valkey_binary
from tests.store.counting import Counting
from tidegate.config.schema import Redis
from tidegate.store import (
    CommandFailed,
    Script,
    Store,
    StoreRefused,
    StoreUnavailable,
    open_store,
)
from tidegate.store.cluster import ClusterConnection
from tidegate.store.slots import key_slot

Eventually = Callable[..., Awaitable[None]]
NOWHERE = Path("/nowhere")
HOT_PATH_S = 0.05


@pytest.fixture
async def hot(cluster_servers: Cluster) -> AsyncIterator[Store]:
    """A store with the deadline that requests have."""
    cluster_servers.flush()
    config = Redis(url=cluster_servers.url, timeout=HOT_PATH_S)
    store = await open_store(config, NOWHERE, wait_s=20)
    yield store
    await store.aclose()
    cluster_servers.heal()


def _copies(store: Store) -> list[bytes | None]:
    told: list[bytes | None] = []
    store.tracking.watch(b"tg:", told.append)
    return told


async def test_each_key_is_where_its_slot_is(cluster: Store, cluster_servers: Cluster) -> None:
    assert cluster.is_cluster
    for number in range(50):
        await cluster.execute("SET", f"tg:{number}", number)
    assert [await cluster.execute("GET", f"tg:{number}") for number in range(50)] == [
        b"%d" % number for number in range(50)
    ]
    held = [server.client.dbsize() for server in cluster_servers.servers]
    assert all(held)
    assert sum(held) == 100  # primaries and replicas


async def test_keys_of_several_slots_in_one_command_are_our_own_mistake(cluster: Store) -> None:
    with pytest.raises(CommandFailed, match="CROSSSLOT"):
        await cluster.execute("MGET", "a", "b")
    assert await cluster.execute("MGET", "{t}a", "{t}b") == [None, None]


async def test_a_walk_over_all_keys_is_refused_but_that_over_a_tag(cluster: Store) -> None:
    for number in range(20):
        await cluster.execute("SET", f"{{acme}}{number}", 1)
    with pytest.raises(CommandFailed, match="each server of a Cluster holds a part"):
        await cluster.execute("SCAN", 0)
    cursor, keys = await cluster.execute("SCAN", 0, "MATCH", "{acme}*", "COUNT", 10_000)
    assert (cursor, len(keys)) == (b"0", 20)
    assert isinstance(cluster.connection, ClusterConnection)
    sizes = [await one.execute("DBSIZE") for one in cluster.connection.primaries]
    assert sorted(sizes) == [0, 0, 20]


async def test_a_script_is_told_to_each_server_once(cluster: Store) -> None:
    script = Script.of("here", f"return {{'here', KEYS[1]}} -- {id(cluster)}")
    for key in (b"a", b"b", b"c", b"d", b"a"):
        assert await cluster.run(script, (key,), ()) == [b"here", key]


async def test_a_change_at_any_primary_is_told_to_copies(
    cluster: Store, eventually: Eventually
) -> None:
    told = _copies(cluster)
    await eventually(lambda: cluster.tracking.is_live)
    told.clear()
    keys = [b"tg:%d" % number for number in range(12)]
    for key in keys:
        await cluster.execute("SET", key, 1)
    await eventually(lambda: set(keys) <= set(told))
    assert None not in told


async def test_facts_tell_the_topology(cluster: Store) -> None:
    facts = await cluster.describe()
    assert facts.topology == "Cluster: 3 primaries, 3 replicas"
    assert facts.address.startswith("redis+cluster://")
    assert any("appendonly is off" in warning for warning in facts.warnings)


async def test_a_cluster_that_nobody_knows_confirms_nothing(cluster: Store) -> None:
    assert cluster.servers.topology is not None
    cluster.servers.topology.view = ()
    assert not await cluster.wait_durable()


@pytest.mark.parametrize("binary", [server_binary(), valkey_binary()], ids=["redis", "valkey"])
async def test_a_node_is_no_standalone_store(free_port: int, binary: str) -> None:
    with (
        Server.alone(free_port, "--cluster-enabled", "yes", binary=binary) as server,
        pytest.raises(StoreRefused, match=r"is a node of a Cluster.*write redis\+cluster://"),
    ):
        await open_store(Redis(url=f"redis://127.0.0.1:{server.port}"), NOWHERE, wait_s=2)


async def test_a_standalone_store_is_no_cluster(free_port: int) -> None:
    with Server.alone(free_port) as server:
        url = f"redis+cluster://127.0.0.1:{server.port}"
        with pytest.raises(StoreRefused, match="is no node of a Cluster"):
            await open_store(Redis(url=url), NOWHERE, wait_s=2)


async def test_a_cluster_that_lacks_slots_says_which(free_port: int) -> None:
    with Server.alone(free_port, "--cluster-enabled", "yes") as server:
        server.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 100)
        url = f"redis+cluster://127.0.0.1:{server.port}"
        with pytest.raises(StoreUnavailable) as caught:
            await open_store(Redis(url=url), NOWHERE, wait_s=0.5)
    assert "serves only a part of its 16384 slots, nobody has 101-16383" in str(caught.value.detail)


async def test_every_node_is_given_the_password(free_port: int) -> None:
    with Server.alone(free_port, "--cluster-enabled", "yes") as server:
        server.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        server.client.config_set("requirepass", "s3cret")
        place = f"127.0.0.1:{server.port}"
        store = await open_store(Redis(url=f"redis+cluster://:s3cret@{place}"), NOWHERE)
        assert await store.execute("GET", "a", timeout_s=5) is None
        await store.aclose()
        with pytest.raises(StoreUnavailable) as caught:
            await open_store(Redis(url=f"redis+cluster://:wr0ng@{place}"), NOWHERE, wait_s=0.3)
    assert "WRONGPASS" in str(caught.value.detail)
    assert "wr0ng" not in str(caught.value.detail)


async def test_a_cluster_none_of_whose_nodes_answers_says_so(free_port: int) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port}"
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(Redis(url=url), NOWHERE, wait_s=0.3)
    assert "No node of the Cluster at" in str(caught.value.detail)
    assert "Connect call failed" in str(caught.value.detail)


async def test_a_slot_on_its_way_is_served_from_both_sides(
    cluster: Store, cluster_servers: Cluster
) -> None:
    """ASK while it moves, MOVED after, and nobody notices."""
    source = cluster_servers.server_of("{moving}")
    target = next(one for one in cluster_servers.primaries if one is not source)
    slot = key_slot(b"{moving}")
    ids = {one: one.client.execute_command("CLUSTER MYID") for one in (source, target)}
    incr = Script.of("incr", f"return redis.call('INCR', KEYS[1]) -- {id(cluster)}")
    assert await cluster.run(incr, (b"{moving}a",), ()) == 1

    target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    assert await cluster.run(incr, (b"{moving}a",), ()) == 2  # still at the source
    assert await cluster.run(incr, (b"{moving}b",), ()) == 1  # ASK
    assert await cluster.execute("INCR", b"{moving}b") == 2

    move = ("MIGRATE", "127.0.0.1", target.port, "{moving}a", 0, 1000)
    both = asyncio.ensure_future(cluster.execute("MGET", "{moving}a", "{moving}b"))  # TRYAGAIN
    await asyncio.sleep(0.02)
    assert not both.done()
    source.client.execute_command(*move)
    for one in (target, source):
        one.client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])
    assert await both == [b"2", b"2"]
    assert await cluster.run(incr, (b"{moving}a",), ()) == 3  # MOVED
    cluster_servers.wait_well()


async def test_a_slot_on_its_way_to_a_server_without_a_link_is_waited_for(
    cluster: Store, cluster_servers: Cluster
) -> None:
    """As long as the deadline has it, not for as many referrals as come meanwhile."""
    source = cluster_servers.server_of("{asked}")
    target = next(one for one in cluster_servers.primaries if one is not source)
    slot = key_slot(b"{asked}")
    ids = {one: one.client.execute_command("CLUSTER MYID") for one in (source, target)}
    target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    assert isinstance(cluster.connection, ClusterConnection)
    (link,) = (
        server for place, server in cluster.connection._servers.items() if place.port == target.port
    )
    target.send(signal.SIGSTOP)
    try:
        link.reconnect("cut")
        counted = cluster.execute("INCR", "{asked}b")
        await asyncio.wait([counted], timeout=0.2)
    finally:
        target.send(signal.SIGCONT)
    assert await counted == 1
    both = cluster.execute("MGET", "{asked}b", "{asked}c")  # TRYAGAIN, of who was asked
    await asyncio.wait([both], timeout=0.2)
    assert not both.done()
    assert await cluster.execute("SET", "{asked}c", 2)
    assert await both == [b"1", b"2"]
    for one in (target, source):
        one.client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])
    cluster_servers.wait_well()


async def test_a_manual_fail_over_costs_no_request_and_no_count(
    hot: Store, cluster_servers: Cluster, eventually: Eventually
) -> None:
    """It drops no connection, so that only asking tells of it (DESIGN, decision 5)."""
    told = _copies(hot)
    await eventually(lambda: hot.tracking.is_live)
    primary = cluster_servers.server_of("tg:count:0")
    replica = cluster_servers.replica_of(primary)
    async with Counting(hot) as counting:
        await asyncio.sleep(0.3)
        told.clear()
        replica.client.execute_command("CLUSTER FAILOVER")
        await eventually(lambda: None in told)
        await eventually(lambda: hot.tracking.is_live)
        before = counting.counted
        await eventually(lambda: counting.counted > before + 500)
    assert cluster_servers.server_of("tg:count:0") is replica
    figures = await counting.figures()
    assert figures.lost == 0
    assert figures.beyond <= figures.failed  # on a busy machine the pause outlasts 50 ms
    assert figures.failed <= counting.clients
    told.clear()
    await hot.execute("SET", "tg:count:0", 1, timeout_s=5)
    await eventually(lambda: b"tg:count:0" in told)


async def test_a_manual_fail_over_is_noticed_where_nothing_is_asked(
    hot: Store, cluster_servers: Cluster, eventually: Eventually
) -> None:
    told = _copies(hot)
    await eventually(lambda: hot.tracking.is_live)
    replica = cluster_servers.replica_of(cluster_servers.server_of("tg:idle"))
    told.clear()
    replica.client.execute_command("CLUSTER FAILOVER")
    await eventually(lambda: None in told, 2)
    await eventually(lambda: hot.tracking.is_live, 2)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_primary_that_dies_is_replaced_and_the_others_go_on(
    hot: Store, cluster_servers: Cluster, eventually: Eventually, how: signal.Signals
) -> None:
    """Pain points 12 and 13: an outage is answered at once, and ends by itself."""
    _copies(hot)
    await eventually(lambda: hot.tracking.is_live)
    primary = cluster_servers.server_of("tg:count:0")
    async with Counting(hot) as counting:
        await asyncio.sleep(0.3)
        primary.send(how)
        await eventually(lambda: not hot.tracking.is_live)
        assert hot.is_up
        await eventually(lambda: hot.tracking.is_live, 20)
        before = counting.counted
        await eventually(lambda: counting.counted > before + 500)
    figures = await counting.figures()
    assert figures.lost <= counting.clients  # what was not replicated yet
    assert figures.slowest_s < figures.gap_s / 2  # nobody waits for the fail-over
    assert figures.gap_s < 20


async def test_reading_waits_for_no_connection_that_is_not_there(hot: Store) -> None:
    """Cancelled waiters, closing in the middle: nothing is left behind."""
    asked: list[Any] = [hot.execute("GET", f"k{number}") for number in range(100)]
    asked[3].cancel()
    await hot.aclose()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable | asyncio.CancelledError | None) for one in done)
    with pytest.raises(StoreUnavailable):
        await hot.execute("GET", "k")
