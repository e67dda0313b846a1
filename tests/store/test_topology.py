"""What nodes say of a Cluster, and what becomes of commands that are another's."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.store.address import Address, Place
from tidegate.store.cluster import ClusterConnection
from tidegate.store.parked import PARKED_MAX, Parked
from tidegate.store.redirects import Routed, referral
from tidegate.store.topology import POLL_S, Shard, Topology, incomplete, parsed_view

Eventually = Callable[..., Awaitable[None]]
ASKED = Place("10.0.0.1", 7000)
NODES = [
    [5461, 10922, [b"10.0.0.2", 7000, b"id2"]],
    [0, 100, [b"", 7000, b"id1"], [b"10.0.0.4", 7000, b"id4"]],
    [102, 5460, [None, 7000, b"id1", []], [b"10.0.0.4", 7000, b"id4", []]],
]


def test_ranges_are_gathered_by_primary_and_who_has_no_host_is_who_was_asked() -> None:
    assert parsed_view(NODES, ASKED) == (
        Shard(ASKED, ((0, 100), (102, 5460)), (Place("10.0.0.4", 7000),)),
        Shard(Place("10.0.0.2", 7000), ((5461, 10922),), ()),
    )


def test_slots_that_nobody_has_are_named() -> None:
    message = str(incomplete(parsed_view(NODES, ASKED), "redis+cluster://a"))
    assert "nobody has 101-101, 10923-16383" in message
    assert "redis-cli --cluster" in message


def test_a_referral_says_where_to() -> None:
    assert referral("MOVED 3999 10.0.0.9:6381", "a") == (3999, ("10.0.0.9", 6381), True)
    assert referral("ASK 3999 :6381", "10.0.0.1") == (3999, ("10.0.0.1", 6381), False)
    assert referral("MOVED 1 ::1:7000", "a") == (1, ("::1", 7000), True)
    for other in ("ERR no", "MOVED", "MOVED x a:1", "MOVED 1 a:b"):
        assert referral(other, "a") is None


async def test_what_nobody_takes_waits_until_its_deadline_and_no_longer() -> None:
    tried = []

    def route(waiter: asyncio.Future[object], deadline: float, routed: Routed) -> bool:
        tried.append(routed.slot)
        return len(tried) > 2

    loop = asyncio.get_running_loop()
    parked = Parked(route)
    taken, given_up = loop.create_future(), loop.create_future()
    assert parked.add(taken, loop.time() + 5, Routed(b"", 7))
    while len(parked):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert tried == [7, 7, 7]
    assert not taken.done()
    assert parked.add(given_up, loop.time(), Routed(b"", 8))
    await asyncio.wait([given_up])
    assert "changing its server" in str(given_up.exception())
    assert tried == [7, 7, 7]


async def test_what_waits_is_bounded_and_fails_at_the_end() -> None:
    loop = asyncio.get_running_loop()
    parked = Parked(lambda *_: False)
    waiters = [loop.create_future() for _ in range(PARKED_MAX)]
    assert all(parked.add(waiter, loop.time() + 5, Routed(b"", 1)) for waiter in waiters)
    assert not parked.add(loop.create_future(), loop.time() + 5, Routed(b"", 1))
    parked.close()
    assert all(waiter.exception() for waiter in waiters)


def _address(*places: Place) -> Address:
    return Address.parse("redis+cluster://" + ",".join(map(str, places)))


async def test_a_cluster_that_is_down_is_asked_at_an_easy_pace_and_changes_nothing(
    listening: Any, eventually: Eventually
) -> None:
    asked = 0

    async def hang_up(*_: object) -> None:
        nonlocal asked
        asked += 1

    address = _address(await listening(hang_up))
    topology = Topology(address)
    connection = ClusterConnection(address, topology)
    connection.start()
    by_slot = connection._by_slot
    topology.refresh()
    await asyncio.sleep(POLL_S * 4)
    assert 2 <= asked <= 10
    assert connection._by_slot is by_slot
    await connection.aclose()


async def test_not_everybody_asks_the_same_node_first(
    listening: Any, eventually: Eventually
) -> None:
    asked: Counter[str] = Counter()

    def node(name: str) -> Callable[..., Awaitable[None]]:
        async def talk(*_: object) -> None:
            asked[name] += 1
            await asyncio.sleep(0.3)  # less than the deadline of who asks

        return talk

    topologies = [Topology(_address(*[await listening(node(one)) for one in "ab"]))]
    topologies += [Topology(topologies[0]._address) for _ in range(29)]
    for topology in topologies:
        topology.join(asked.clear)
    await eventually(lambda: asked.total() == 30)
    assert set(asked) == {"a", "b"}
    for topology in topologies:
        await topology.leave(asked.clear)


def _bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


async def test_a_node_that_answers_nonsense_is_asked_again(
    listening: Any, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """What its mistake was is logged once, and is no reason never to ask again."""
    epoch = "many"
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while said := await reader.read(2**16):
            if b"CLUSTER" not in said:
                writer.write(b"+OK\r\n" * said.count(b"*"))
                continue
            asked += 1
            slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:7000\r\n"
            state = f"cluster_state:ok\r\ncluster_current_epoch:{epoch}\r\n"
            writer.write(slots + _bulk(state))

    place = await listening(talk)
    topology = Topology(_address(place, Place("127.0.0.1", 1)))
    on_change = asyncio.Event().set
    topology.join(on_change)
    await eventually(lambda: asked > 2)
    assert topology.failure is not None
    assert len(caplog.records) == 1
    epoch = "7"
    await eventually(lambda: topology.slots_served == 16384)
    await topology.leave(on_change)


async def test_what_is_told_while_all_is_closed_makes_no_connection() -> None:
    nobody, other = Place("127.0.0.1", 1), Place("127.0.0.1", 2)
    before = asyncio.all_tasks()
    topology = Topology(_address(nobody))
    topology.view = (Shard(nobody, ((0, 16383),), ()),)
    connection = ClusterConnection(_address(nobody), topology)
    connection.start()
    loop = asyncio.get_running_loop()
    closing = asyncio.create_task(connection.aclose())
    await asyncio.sleep(0)
    while not closing.done():
        moved = f"MOVED 5 {other}"
        waiter = loop.create_future()
        assert not connection._redirect("", moved, waiter, loop.time() + 5, Routed(b"", 5))
        connection._server_up()
        await asyncio.sleep(0)
    assert not connection._servers
    assert asyncio.all_tasks() == before
