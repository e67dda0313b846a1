"""Delivery to a real receiver: signed, tried again, at least once, and to nobody else."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest

from tests.webhooks.conftest import DRIP, KEY, SECRET, receiving
from tidegate.config.webhooks import Webhooks
from tidegate.webhooks import Outbox
from tidegate.webhooks.courier import Courier, delivering
from tidegate.webhooks.sender import Sender

BODY = b'{"type":"quota.share_reached","data":{"window_end":'


async def put(outbox, count=1):
    for number in range(count):
        assert await outbox.put("q", f"d{number}", 3600, 60, [(800, BODY)], b"}}") == (1, 0)


async def waiting(store):
    return await store.execute("HLEN", "tg:{webhooks}:bodies")


@pytest.fixture
def outbox_to(valkey):
    return lambda settings: Outbox(valkey, settings.url, settings.waiting)


@asynccontextmanager
async def at_work(outbox, settings, **fast):
    """A courier that does not wait long, unless `fast` says otherwise."""
    fast = {"delays_s": (0.05,), "poll_s": 0.02, **fast}
    async with Sender(settings) as sender:
        courier = Courier(outbox, sender, settings, **fast)
        task = asyncio.create_task(courier.run())
        try:
            yield courier
        finally:
            task.cancel()
            await asyncio.wait([task])


def counted(courier):
    return {labels[0]: count for _, labels, count in courier.readings() if count}


async def test_an_event_is_delivered_once_named_dated_and_signed(
    outbox_to, receiver, settings, valkey, eventually
):
    outbox = outbox_to(settings())
    await put(outbox)
    async with delivering(valkey, settings()) as courier:
        await eventually(lambda: counted(courier) == {"delivered": 1})
    (delivery,) = receiver.got
    assert delivery.path == "/hooks?token=abc"
    assert delivery.is_signed_with(KEY)
    assert not delivery.is_signed_with(KEY[::-1])
    assert delivery.fields["content-type"] == "application/json"
    assert json.loads(delivery.body)["data"]["window_end"] % 60 == 0
    assert await waiting(valkey) == 0


async def test_the_previous_secret_signs_as_well(outbox_to, receiver, settings, eventually):
    old = "whsec_" + "b2xk" * 8
    changing = settings(secret=SECRET, previous_secret=old)
    outbox = outbox_to(changing)
    await put(outbox)
    async with at_work(outbox, changing):
        await eventually(lambda: receiver.got)
    assert receiver.got[0].is_signed_with(KEY)
    assert receiver.got[0].is_signed_with(b"old" * 8)


async def test_a_receiver_that_is_down_gets_every_event_once_it_is_up(
    outbox_to, receiver, settings, valkey, eventually, caplog
):
    caplog.set_level(logging.WARNING, "tidegate.webhooks")
    outbox = outbox_to(settings())
    await receiver.stop()
    await put(outbox, 5)
    async with at_work(outbox, settings()) as courier:
        await eventually(lambda: counted(courier).get("failed", 0) >= 6)
        await receiver.start()
        await eventually(lambda: counted(courier).get("delivered") == 5)
    assert len({delivery.id for delivery in receiver.got}) == len(receiver.got) == 5
    assert await waiting(valkey) == 0
    told = [record.message for record in caplog.records]
    assert [("takes events again" in line) for line in told] == [False, True], told
    assert "token" not in "".join(told)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500, 503])
async def test_all_but_a_2xx_is_tried_again_and_no_redirect_followed(
    outbox_to, receiver, settings, eventually, status
):
    async with receiving() as elsewhere:
        receiver.answers = [(status, {"location": elsewhere.url})]
        outbox = outbox_to(settings())
        await put(outbox)
        async with at_work(outbox, settings()) as courier:
            await eventually(lambda: counted(courier) == {"failed": 1, "delivered": 1})
        assert elsewhere.got == []
    first, second = receiver.got
    assert (first.id, first.body) == (second.id, second.body)


async def test_retry_after_is_heeded(outbox_to, receiver, settings, eventually, valkey):
    receiver.answers = [(429, {"retry-after": "3600"})]
    outbox = outbox_to(settings())
    await put(outbox)
    async with at_work(outbox, settings()) as courier:
        await eventually(lambda: counted(courier) == {"failed": 1})
        await asyncio.sleep(0.3)
    assert len(receiver.got) == 1
    (_, due_ms) = await valkey.execute("ZRANGE", "tg:{webhooks}:waiting:q", 0, -1, "WITHSCORES")
    now_s = int((await valkey.execute("TIME"))[0])
    assert 3590 < float(due_ms) / 1000 - now_s <= 3601


async def test_who_says_gone_is_left_alone_and_told_of(
    outbox_to, receiver, settings, eventually, valkey, caplog
):
    receiver.answers = [410]
    outbox = outbox_to(settings())
    await put(outbox)
    async with at_work(outbox, settings()) as courier:
        await eventually(lambda: counted(courier) == {"gone": 1})
        await outbox.put("q", "later", 3600, 60, [(800, BODY)], b"}}")
        await asyncio.sleep(0.2)
    assert len(receiver.got) == 1
    assert await waiting(valkey) == 2
    assert "410 Gone" in caplog.text


async def test_what_was_refused_as_gone_waits_for_that_receiver_or_another(
    outbox_to, receiver, settings, eventually, valkey
):
    """As the log says: it was lost, and only what came after it waited."""
    receiver.answers = [410]
    outbox = outbox_to(settings())
    await put(outbox)
    async with at_work(outbox, settings()) as courier:
        await eventually(lambda: counted(courier) == {"gone": 1})
    async with receiving() as elsewhere:
        moved = settings(url=elsewhere.url)
        async with at_work(outbox_to(moved), moved) as courier:
            await eventually(lambda: counted(courier) == {"delivered": 1})
    assert elsewhere.got[0].id == receiver.got[0].id
    assert await waiting(valkey) == 0


async def test_who_says_gone_for_too_long_is_given_up_as_others_are(
    outbox_to, receiver, settings, eventually, valkey
):
    receiver.answers = [410]
    outbox = outbox_to(settings())
    await put(outbox)
    (event_id,) = await valkey.execute("HKEYS", "tg:{webhooks}:bodies")
    await valkey.execute("HSET", "tg:{webhooks}:bodies", event_id, b"1 {}")
    async with at_work(outbox, settings()) as courier:
        await eventually(lambda: counted(courier) == {"gone": 1, "expired": 1})
    assert await waiting(valkey) == 0


async def stray(store, event_id):
    """An event that no gateway writes."""
    now_s = (await store.execute("TIME"))[0]
    await store.execute("HSET", "tg:{webhooks}:bodies", event_id, now_s + b" {}")
    await store.execute("ZADD", "tg:{webhooks}:waiting:stray", 0, event_id)
    await store.execute("ZADD", "tg:{webhooks}:turns", 0, "stray")


async def test_an_error_nobody_expected_is_a_failure_of_one_event_and_heard_of(
    outbox_to, receiver, settings, valkey, eventually, caplog
):
    """It ended the courier of a process unheard, for as long as the process lived."""
    await stray(valkey, "msg_\u00e9")  # no header field can hold it
    outbox = outbox_to(settings())
    await put(outbox)
    async with at_work(outbox, settings(), delays_s=(3600,)) as courier:
        await eventually(lambda: counted(courier) == {"failed": 1, "delivered": 1})
        await outbox.put("q", "other", 3600, 60, [(800, BODY)], b"}}")
        await eventually(lambda: counted(courier) == {"failed": 1, "delivered": 2})
    assert await waiting(valkey) == 1
    assert "UnicodeEncodeError" in caplog.text


async def test_a_round_that_nobody_expected_to_fail_is_not_the_last(
    outbox_to, receiver, settings, valkey, eventually, caplog
):
    await stray(valkey, b"msg_\xff")
    quick = settings(timeout="200ms")
    outbox = outbox_to(quick)
    await put(outbox)
    async with at_work(outbox, quick, settling_s=0.1) as courier:
        await eventually(lambda: "UnicodeDecodeError" in caplog.text)
        await valkey.execute("HDEL", "tg:{webhooks}:bodies", b"msg_\xff")
        await eventually(lambda: counted(courier).get("delivered") == 1)


@pytest.mark.parametrize("answer", [None, DRIP])
async def test_a_receiver_that_never_answers_holds_up_one_attempt(
    outbox_to, receiver, settings, eventually, answer
):
    receiver.answers = [answer]
    slow = settings(timeout="200ms")
    outbox = outbox_to(slow)
    await put(outbox)
    async with at_work(outbox, slow) as courier:
        await eventually(lambda: counted(courier) == {"failed": 1, "delivered": 1})


async def test_what_a_dead_courier_had_is_delivered_by_the_next(
    outbox_to, receiver, settings, eventually
):
    """It died between the receiver's work and its own note of it: the event comes twice, with one
    id, and no third time."""
    receiver.answers = [None]
    quick = settings(timeout="200ms")
    outbox = outbox_to(quick)
    await put(outbox)
    async with at_work(outbox, quick, settling_s=0.1):
        await eventually(lambda: receiver.got)
    async with at_work(outbox, quick) as courier:
        await eventually(lambda: counted(courier) == {"delivered": 1})
        await asyncio.sleep(0.4)
    assert len(receiver.got) == 2
    assert len({delivery.id for delivery in receiver.got}) == 1


async def test_of_many_couriers_one_delivers_each_event(outbox_to, receiver, settings, eventually):
    outbox = outbox_to(settings())
    await put(outbox, 30)
    async with (
        at_work(outbox, settings()),
        at_work(outbox, settings()),
        at_work(outbox, settings()),
    ):
        await eventually(lambda: len(receiver.got) >= 30)
        await asyncio.sleep(0.1)
    assert len({delivery.id for delivery in receiver.got}) == len(receiver.got) == 30


async def test_an_event_is_given_up_when_it_is_too_old(
    outbox_to, receiver, settings, valkey, eventually, caplog
):
    receiver.answers = [500, 500]
    outbox = outbox_to(settings())
    await put(outbox)
    async with at_work(outbox, settings(keep="60s"), delays_s=(0.05, 100)) as courier:
        await eventually(lambda: counted(courier) == {"failed": 2, "expired": 1})
    assert await waiting(valkey) == 0
    assert "given up after 2 attempts: it answered 500" in caplog.text


async def test_an_event_that_always_fails_holds_no_other_up(
    outbox_to, receiver, settings, eventually
):
    outbox = outbox_to(settings())
    receiver.answers = [500]
    await put(outbox)
    async with at_work(outbox, settings(), delays_s=(3600,)) as courier:
        await eventually(lambda: counted(courier) == {"failed": 1})
        await outbox.put("q", "other", 3600, 60, [(800, BODY)], b"}}")
        await eventually(lambda: counted(courier) == {"failed": 1, "delivered": 1})


async def test_a_courier_that_is_stopped_finishes_what_it_sends(
    outbox_to, receiver, settings, valkey, eventually
):
    outbox = outbox_to(settings())
    await put(outbox, 3)
    async with delivering(valkey, settings()):
        await eventually(lambda: receiver.got)
    delivered = len(receiver.got)
    assert await waiting(valkey) == 3 - delivered


async def test_while_nothing_gets_through_less_is_tried(outbox_to, receiver, settings, eventually):
    """A receiver that is down is asked by a few events at a time, not by all that wait."""
    outbox = outbox_to(settings())
    receiver.answers = [503] * 100
    await put(outbox, 40)
    async with at_work(outbox, settings(), poll_s=0.2, delays_s=(3600,)):
        await eventually(lambda: receiver.got)
        await asyncio.sleep(0.9)
    assert len(receiver.got) <= 12


def test_a_secret_is_shown_nowhere(settings):
    assert isinstance(settings(), Webhooks)
    assert SECRET not in repr(settings()) + settings().model_dump_json()
