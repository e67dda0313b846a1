"""A worker notices each share once, and what it noticed survives a store that is away."""

import asyncio
import json
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
