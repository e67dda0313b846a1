"""What nodes say of a Cluster, and what becomes of commands that are another's."""

import asyncio

from tidegate.store.address import Place
from tidegate.store.parked import PARKED_MAX, Parked
from tidegate.store.redirects import Routed, referral
from tidegate.store.topology import Shard, incomplete, parsed_view

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
