"""Usage is added exactly once, in bounded batches, and read back by minute."""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tidegate.http.errors import StoreUnavailable
from tidegate.telemetry import read_usage
from tidegate.telemetry.meters import Meter
from tidegate.telemetry.usage import MINUTES_MAX, UsageFlush, minute_key, read_key_usage


class Counting:
    """The store, and how often it is asked."""

    def __init__(self, store):
        self.store = store
        self.calls = 0

    def execute(self, *parts, timeout_s=None):
        self.calls += 1
        return self.store.execute(*parts, timeout_s=timeout_s)


@dataclass(eq=False)
class Caller:
    tenant: str
    key_id: str
    plan: str = "p"


def meter(**amounts):
    made = Meter("s", "r")
    made.usage = {Caller("acme", key_id): list(three) for key_id, three in amounts.items()}
    return made


async def rows(store, tenant="acme"):
    now = int(time.time()) // 60
    found = await read_usage(store, tenant, now - 1, now)
    return [(row.key_id, row.route, row.requests, row.refused, row.bytes) for row in found]


async def test_two_workers_add_up_and_the_minute_expires(valkey):
    for amounts in ([3, 1, 100], [4, 0, 50]):
        await UsageFlush(3600).flush([meter(key_a=amounts)], valkey)
    assert await rows(valkey) == [("key_a", "r", 7, 1, 150)]
    minute = int(time.time()) // 60
    assert 3500 < await valkey.execute("TTL", minute_key("acme", minute)) <= 3600


class LosesReplies:
    """The store takes what it is sent, and its answers get lost."""

    def __init__(self, store):
        self.store = store

    def execute(self, *parts, timeout_s=None):
        async def lost():
            await self.store.execute(*parts, timeout_s=timeout_s)
            raise StoreUnavailable("lost")

        return asyncio.ensure_future(lost())


async def test_a_batch_whose_reply_was_lost_is_counted_once(valkey):
    flush = UsageFlush(60)
    await flush.flush([meter(key_a=[3, 0, 0])], LosesReplies(valkey))
    await flush.flush([meter(key_a=[2, 0, 0])], valkey)
    assert await rows(valkey) == [("key_a", "r", 5, 0, 0)]
    assert flush.lost == 0


class IsDown:
    def execute(self, *parts, timeout_s=None):
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(StoreUnavailable("down"))
        failed.exception()
        return failed


async def test_what_is_counted_during_an_outage_is_added_after_it(valkey):
    flush = UsageFlush(60)
    for _ in range(3):
        await flush.flush([meter(key_a=[1, 0, 0])], IsDown())
    await flush.flush([], valkey)
    assert await rows(valkey) == [("key_a", "r", 3, 0, 0)]


async def test_an_endless_outage_is_bounded_and_what_it_costs_is_known(valkey, monkeypatch):
    monkeypatch.setattr("tidegate.telemetry.usage.WAITING_MAX", 2)
    flush = UsageFlush(60)
    for _ in range(5):
        await flush.flush([meter(key_a=[10, 0, 0])], IsDown())
    await flush.flush([], valkey)
    assert (await rows(valkey), flush.lost) == ([("key_a", "r", 20, 0, 0)], 30)


async def test_many_keys_go_in_several_batches(valkey):
    keys = {f"key_{number:04}": [1, 0, 0] for number in range(700)}
    await UsageFlush(60).flush([meter(**keys)], valkey)
    assert len(await rows(valkey)) == 700


async def test_a_reading_is_bounded(valkey):
    with pytest.raises(ValueError, match="minutes"):
        await read_usage(valkey, "acme", 0, MINUTES_MAX)


async def test_what_one_key_used_of_all_routes_is_one_call(valkey):
    first, second = meter(key_a=[3, 1, 100], key_b=[9, 9, 9]), meter(key_a=[2, 0, 50])
    second.route = "other"
    await UsageFlush(60).flush([first, second], valkey)
    await UsageFlush(60).flush([meter(key_a=[1, 0, 0])], valkey)
    store, now = Counting(valkey), int(time.time()) // 60
    assert await read_key_usage(store, "acme", "key_a", now - 59, now) == (6, 1, 150)
    assert await read_key_usage(store, "acme", "key_c", now - 59, now) == (0, 0, 0)
    assert store.calls == 2
    assert len(await rows(valkey)) == 3
