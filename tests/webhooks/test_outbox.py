"""The outbox on a real store: an event is written once, claimed by one, lost by nobody's end."""

import asyncio

import pytest

from tidegate.webhooks.outbox import Claimed, Outbox

URL = "https://example.com/hooks"
HALF, ALL = (500, b'{"share":0.5,"window_end":'), (1000, b'{"share":1.0,"window_end":')


@pytest.fixture
def outbox(valkey):
    return Outbox(valkey, URL, waiting_max=10)


async def put(outbox, *shares, digest="d", left_s=3600, queue="q"):
    return await outbox.put(queue, digest, left_s, 60, shares, b"}")


async def ids(outbox):
    return [event.id for event in await outbox.claim(10, 60.0)]


async def test_an_event_is_written_once_however_often_it_is_noticed(outbox):
    noticed = await asyncio.gather(*(put(outbox, HALF) for _ in range(20)))
    assert sum(written for written, _ in noticed) == 1
    (event,) = await outbox.claim(10, 60.0)
    assert event.body.startswith(b'{"share":0.5,"window_end":1')
    assert event.body.endswith(b"}")
    assert (event.attempt, event.age_s < 5) == (1, True)


async def test_each_share_is_told_once_and_none_is_left_out(outbox):
    await put(outbox, HALF)
    assert await put(outbox, HALF, ALL) == (1, 0)
    assert await put(outbox, HALF, ALL) == (0, 0)
    told = await ids(outbox)
    assert [event_id.rsplit("_", 1)[1] for event_id in told] == ["0500", "1000"]


async def test_quotas_and_windows_are_told_apart(outbox):
    assert await put(outbox, HALF) == (1, 0)
    assert await put(outbox, HALF, digest="other") == (1, 0)
    assert await put(outbox, HALF, left_s=7200) == (1, 0)
    assert len(set(await ids(outbox))) == 3


async def test_a_window_is_the_same_however_late_it_is_noticed(outbox):
    """Its end is a whole minute, so a notice some seconds after the decision finds the same one."""
    assert await put(outbox, HALF, left_s=3600) == (1, 0)
    (event,) = await outbox.claim(10, 60.0)
    assert int(event.id.split("_")[2]) % 60 == 0


async def test_a_notice_of_a_window_that_is_past_reopens_no_share_of_this_one(outbox):
    await put(outbox, HALF, left_s=7200)
    assert await put(outbox, HALF, left_s=600) == (1, 0)
    for event in await outbox.claim(10, 60.0):
        await outbox.done(event)
    assert await put(outbox, HALF, left_s=7200) == (0, 0)


async def test_what_waits_is_bounded_and_each_queue_leaves_as_much_as_it_takes(outbox):
    """A limit per header value can be reached by as many values as a client makes up."""
    flood = [await put(outbox, HALF, digest=f"d{n}") for n in range(7)]
    assert flood == [(1, 0)] * 5 + [(0, 1)] * 2
    other = [await put(outbox, HALF, digest=f"o{n}", queue="other") for n in range(5)]
    assert other == [(1, 0)] * 3 + [(0, 1)] * 2
    assert await put(outbox, HALF, ALL, digest="t", queue="third") == (1, 1)
    assert await put(outbox, HALF, digest="f", queue="fourth") == (1, 0)
    assert await put(outbox, HALF, digest="g", queue="fifth") == (0, 1)


async def test_what_had_no_place_is_told_when_there_is_one(outbox):
    for number in range(4):
        await put(outbox, HALF, digest=f"d{number}")
    assert await put(outbox, HALF, ALL) == (1, 1)
    assert await put(outbox, HALF, ALL) == (0, 1)
    for event in await outbox.claim(10, 60.0):
        await outbox.done(event)
    assert await put(outbox, HALF, ALL) == (1, 0)
    assert [event_id.rsplit("_", 1)[1] for event_id in await ids(outbox)] == ["1000"]


async def test_queues_are_served_in_turn_whatever_waits_in_one(outbox):
    for number in range(5):
        await put(outbox, HALF, digest=f"d{number}")
    await put(outbox, HALF, ALL, digest="o", queue="other")
    await put(outbox, HALF, digest="t", queue="third")
    first, second = await outbox.claim(4, 60.0), await outbox.claim(10, 60.0)
    queues = [event.queue for event in (*first, *second)]
    assert {*queues[:3]} == {b"q", b"other", b"third"}
    assert {*queues[3:5]} == {b"q", b"other"}  # which is first, their milliseconds say
    assert queues[5:] == [b"q"] * 3
    assert await ids(outbox) == []


async def test_one_event_at_a_time_serves_every_queue_too(outbox, eventually):
    for number in range(3):
        await put(outbox, HALF, digest=f"d{number}")
    await put(outbox, HALF, digest="o", queue="other")
    served = [(await outbox.claim(1, 60.0))[0] for _ in range(2)]
    assert {event.queue for event in served} == {b"q", b"other"}


async def test_a_failure_in_a_queue_lets_its_others_go_on(outbox):
    await put(outbox, HALF, ALL)
    (first,) = await outbox.claim(1, 60.0)
    await outbox.later(first, 3600.0)
    (second,) = await outbox.claim(10, 60.0)
    await outbox.later(second, 0.0)
    assert await ids(outbox) == [second.id]


async def test_what_one_has_claimed_nobody_else_gets(outbox, valkey):
    await put(outbox, HALF)
    other = Outbox(valkey, URL, waiting_max=5)
    claims = await asyncio.gather(outbox.claim(10, 60.0), other.claim(10, 60.0))
    assert sorted(map(len, claims)) == [0, 1]


async def test_a_claim_whose_holder_died_passes_on(outbox, eventually):
    await put(outbox, HALF)
    (first,) = await outbox.claim(10, 0.05)
    await asyncio.sleep(0.06)
    (second,) = await outbox.claim(10, 60.0)
    assert (second.id, second.body, second.attempt) == (first.id, first.body, 2)
    await outbox.later(first, 0.0)  # it was not dead, but slow: the event is another's by now
    assert await ids(outbox) == []


async def test_a_failure_is_tried_again_when_it_is_time(outbox):
    await put(outbox, HALF)
    (event,) = await outbox.claim(10, 60.0)
    await outbox.later(event, 0.05)
    assert await ids(outbox) == []
    await asyncio.sleep(0.06)
    (again,) = await outbox.claim(10, 60.0)
    assert again.attempt == 2


async def test_what_is_done_leaves_nothing_but_what_was_told(outbox, valkey):
    await put(outbox, HALF)
    (event,) = await outbox.claim(10, 60.0)
    await outbox.done(event)
    assert await valkey.execute("KEYS", "tg:{webhooks}:*") == [b"tg:{webhooks}:told:d"]
    assert 0 < await valkey.execute("TTL", "tg:{webhooks}:told:d") <= 3660
    await outbox.later(event, 0.0)
    assert await ids(outbox) == []


async def test_a_receiver_that_is_gone_is_left_alone_and_another_is_not(outbox, valkey):
    await put(outbox, HALF)
    await outbox.gone()
    assert await outbox.claim(10, 60.0) == []
    (event,) = await Outbox(valkey, "https://example.com/new", waiting_max=5).claim(10, 60.0)
    assert isinstance(event, Claimed)


async def test_an_id_without_its_event_holds_nobody_up(outbox, valkey):
    await valkey.execute("ZADD", "tg:{webhooks}:waiting:q", 0, "msg_stray")
    await put(outbox, HALF)
    assert len(await ids(outbox)) == 1
    assert await valkey.execute("ZSCORE", "tg:{webhooks}:waiting:q", "msg_stray") is None


async def test_a_cluster_keeps_the_outbox_in_one_place(cluster):
    outbox = Outbox(cluster, URL, waiting_max=10)
    assert await put(outbox, HALF, ALL) == (2, 0)
    first, second = await outbox.claim(10, 60.0)
    await outbox.later(first, 0.0)
    await outbox.done(second)
    assert [event.id for event in await outbox.claim(10, 60.0)] == [first.id]
    await outbox.gone()
    assert await put(outbox, HALF, digest="other") == (1, 0)
    assert await ids(outbox) == []
