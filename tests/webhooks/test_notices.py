"""A worker notices each share once, and what it noticed survives a store that is away."""

import asyncio
import json
import math
import time
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.schema import Redis
from tidegate.store import open_store
from tidegate.webhooks import Counted, Notices, Outbox, Watched, notices

COUNTED = Counted(
    state=b"tg:limits:{acme}:t",
    counted_in="{acme}:t", limit="monthly", quota=10, period="month", per="tenant",
    unit="requests", tenant="acme", plan="pro", key_id=None, route=None,
)  # fmt: skip
MONTH_S = 28 * 86_400


def watched(*shares, counted=COUNTED):
    return Watched(counted, shares or (0.7, 1.0), MONTH_S)


@pytest.fixture
def outbox(valkey):
    return Outbox(valkey, "https://example.com", waiting_max=100)


def outcomes(noticing):
    return {labels[0]: count for _, labels, count in noticing.readings() if count}


async def events(outbox):
    return [json.loads(event.body) for event in await outbox.claim(100, 60.0)]


async def test_a_share_is_told_when_it_is_reached_and_not_before(outbox):
    noticing, monthly = Notices(outbox), watched()
    for used in range(11):
        noticing.look(monthly, used, 3600)
        await noticing.aclose()
        assert outcomes(noticing).get("written", 0) == (used >= 7) + (used == 10)
    seven, ten = await events(outbox)
    assert seven["type"] == "quota.share_reached"
    assert seven["timestamp"].endswith("Z")
    assert seven["data"].pop("window_end") % 60 == 0
    assert seven["data"] == {
        "counted_in": "{acme}:t", "limit": "monthly", "quota": 10, "period": "month",
        "per": "tenant", "unit": "requests",
        "tenant": "acme", "plan": "pro", "key_id": None, "route": None, "used": 7, "share": 0.7,
    }  # fmt: skip
    assert (ten["data"]["used"], ten["data"]["share"]) == (10, 1.0)


@given(st.integers(1, 10**9), st.lists(st.integers(1, 1000), min_size=1, max_size=5), st.data())
def test_a_share_is_reached_exactly_where_it_is(quota, in_1000, data):
    """Also where floats are not: 0.7 of 10 is 7, and 0.29 of 100 is 29."""
    monthly = watched(*(n / 1000 for n in in_1000), counted=replace(COUNTED, quota=quota))
    share = data.draw(st.sampled_from(in_1000))
    used = data.draw(st.integers(0, quota) | st.just(-(-quota * share // 1000)))
    expected = sorted(n for n in in_1000 if Fraction(used, quota) >= Fraction(n, 1000))
    assert [entry[1] for entry in monthly.reached(used * 1000, 0)] == expected
    assert (used * 1000 < monthly.lowest) == (not expected)


async def test_a_jump_over_several_shares_tells_each(outbox):
    noticing = Notices(outbox)
    noticing.look(watched(0.5, 0.8, 1.0), 9, 3600)
    await noticing.aclose()
    assert [event["data"]["share"] for event in await events(outbox)] == [0.5, 0.8]


async def test_workers_that_notice_together_tell_it_once(outbox):
    workers = [Notices(outbox) for _ in range(5)]
    for worker in workers:
        worker.look(watched(), 8, 3600)
    for worker in workers:
        await worker.aclose()
    assert sum(outcomes(worker).get("written", 0) for worker in workers) == 1
    assert len(await events(outbox)) == 1


async def test_the_next_window_has_shares_of_its_own(outbox):
    now = 1000.0
    noticing, monthly = Notices(outbox, clock=lambda: now), watched(0.7)
    noticing.look(monthly, 8, 120)
    await noticing.aclose()
    noticing.look(monthly, 8, 60)
    assert outcomes(noticing) == {"written": 1}
    now += 121
    noticing.look(monthly, 8, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"written": 2}


async def test_a_plan_that_gives_more_has_shares_of_its_own(outbox):
    noticing = Notices(outbox)
    noticing.look(watched(), 8, 3600)
    noticing.look(watched(counted=replace(COUNTED, quota=100)), 80, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"written": 2}


async def test_an_event_waits_for_a_store_that_is_away(tmp_path, valkey_dir, valkey, eventually):
    away = await open_store(
        Redis(url=f"unix://{tmp_path}/none.sock"), tmp_path, wait_s=0.01, require=False
    )
    noticing = Notices(Outbox(away, "https://example.com", 10), again_s=0.02)
    noticing.look(watched(0.7), 8, 3600)
    await asyncio.sleep(0.1)
    assert outcomes(noticing) == {}
    noticing._outbox = Outbox(valkey, "https://example.com", 10)
    await eventually(lambda: outcomes(noticing) == {"written": 1})
    await away.aclose()


async def test_however_late_an_event_is_written_its_window_is_the_same(valkey, eventually):
    """Decided just after a whole second and written 0.6 s later, it was once a minute early."""
    outbox = Outbox(valkey, "https://example.com", waiting_max=100)
    await eventually(lambda: time.time() % 1 > 0.6)
    now = time.time()
    window_end = math.ceil((now + 3600) / 60) * 60
    for tenths in range(25):
        late_s, clock = tenths / 10, 1000.0
        noticing = Notices(outbox, clock=lambda: clock)  # noqa: B023 at once
        decided = replace(COUNTED, state=b"%d" % tenths)
        noticing.look(watched(0.7, counted=decided), 8, math.ceil(window_end - (now - late_s)))
        clock += late_s
        await noticing.aclose()
    told = await events(outbox)
    assert [event["data"]["window_end"] for event in told] == [window_end] * 25


async def test_a_share_without_a_place_is_told_when_there_is_one(valkey):
    now = 1000.0
    outbox = Outbox(valkey, "https://example.com", waiting_max=1)
    noticing, monthly = Notices(outbox, clock=lambda: now), watched(0.7)
    noticing.look(watched(0.7, counted=replace(COUNTED, state=b"other")), 8, 3600)
    noticing.look(monthly, 8, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"written": 1, "dropped": 1}
    (event,) = await outbox.claim(1, 60.0)
    await outbox.done(event)
    for now in (1001.0, 1061.0):  # noqa: B007 read by the clock
        noticing.look(monthly, 8, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"written": 2, "dropped": 1}


async def test_one_key_leaves_other_tenants_their_places(valkey):
    """Once 10,400 values of one header filled the outbox of a receiver that was down, and what
    other tenants reached meanwhile was dropped for good, in the window and after it."""
    outbox = Outbox(valkey, "https://example.com", waiting_max=20)
    noticing = Notices(outbox)
    for value in range(40):
        state = b"tg:limits:{acme}:h:%d" % value
        noticing.look(watched(1.0, counted=replace(COUNTED, limit="users", state=state)), 10, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"written": 10, "dropped": 30}
    noticing.look(watched(0.7, counted=replace(COUNTED, tenant="other", state=b"o")), 8, 3600)
    noticing.look(watched(0.7), 8, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"written": 12, "dropped": 30}
    first = await outbox.claim(3, 60.0)
    whose = [json.loads(event.body)["data"] for event in first]
    assert {(data["tenant"], data["limit"]) for data in whose} == {
        ("acme", "users"), ("acme", "monthly"), ("other", "monthly"),
    }  # fmt: skip


async def test_what_finds_no_room_is_counted_and_noticed_anew(tmp_path, monkeypatch, outbox):
    monkeypatch.setattr(notices, "OFFERED_MAX", 0)
    noticing, monthly = Notices(outbox), watched(0.7)
    noticing.look(monthly, 8, 3600)
    assert outcomes(noticing) == {"lost": 1}
    monkeypatch.setattr(notices, "OFFERED_MAX", 1)
    noticing.look(monthly, 8, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"lost": 1, "written": 1}


async def test_at_the_end_what_no_store_takes_is_counted_as_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(notices, "CLOSE_S", 0.05)
    away = await open_store(
        Redis(url=f"unix://{tmp_path}/none.sock"), tmp_path, wait_s=0.01, require=False
    )
    noticing = Notices(Outbox(away, "https://example.com", 10), again_s=0.02)
    noticing.look(watched(0.7), 8, 3600)
    await noticing.aclose()
    assert outcomes(noticing) == {"lost": 1}
    await away.aclose()
