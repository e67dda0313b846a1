"""Limits in shadow mode, limits that are near, and quotas that notify: through the whole chain."""

import json
from functools import partial
from types import SimpleNamespace

import pytest

from tests.webhooks.conftest import SECRET
from tidegate.config import Config
from tidegate.config.webhooks import Webhooks
from tidegate.gateway import explain
from tidegate.policies import limit_signals
from tidegate.policies.limit_signals import used_share
from tidegate.rate_limiter import caller_counters
from tidegate.telemetry import recent_decisions
from tidegate.testing import ScriptedUpstream, open_kit
from tidegate.webhooks import Outbox

URL = "http://127.0.0.1:1/hooks"
SLOW = "/h"
HASHED_TO_A = "u13"
"""A value whose hash begins with `a`."""


@pytest.fixture
async def opened(tidegate_kit):
    """`await opened(*limits, **sections)`: a kit with two keys, whose plan has these limits."""
    async with ScriptedUpstream() as upstream:

        async def open_one(*limits, cost=1, **sections):
            keys = [{"name": name, "value": name} for name in ("premium_user", "second")]
            route = {"name": "test", "paths": ["/api"], "cost": cost}
            config = {
                "version": 1,
                "plans": {"premium": {"limits": limits}},
                "tenants": [{"name": "acme", "plan": "premium", "keys": keys}],
                "services": [{"name": "test", "targets": [upstream.url], "routes": [route]}],
            }
            return await tidegate_kit(config=Config.model_validate(config | sections))

        yield open_one


def told(kit, metric):
    return kit.gateway.telemetry.series().get(metric, {})


async def statuses(kit, count):
    return [(await kit.get("/api/x")).status for _ in range(count)]


async def test_a_limit_in_shadow_mode_counts_and_never_refuses(tidegate_kit):
    kit = await tidegate_kit(
        plan=[
            {"name": "trial", "rate": f"2{SLOW}", "shadow": True},
            {"name": "steady", "rate": f"4{SLOW}"},
        ]
    )
    assert await statuses(kit, 6) == [200] * 4 + [429] * 2
    assert told(kit, "tidegate_limit_shadow_refusals") == {"premium\x1ftrial": 4}
    assert told(kit, "tidegate_limit_refusals") == {"premium\x1fsteady": 2}


async def test_no_client_hears_of_a_limit_in_shadow_mode(tidegate_kit):
    trial = {"name": "trial", "rate": f"1{SLOW}", "shadow": True, "warn_at": 0.5}
    kit = await tidegate_kit(plan=[trial])
    for _ in range(3):
        answer = await kit.get("/api/x")
        assert answer.status == 200
        assert b"trial" not in b"".join(value for _, value in answer.headers)
        assert answer.header("x-ratelimit-limit") is None
        assert answer.header("tidegate-limit-warning") is None
    assert told(kit, "tidegate_limit_near") == {"premium\x1ftrial": 3}


async def test_records_and_explain_tell_what_the_shadow_would_have_refused(opened):
    limits = [
        {"name": "trial", "rate": f"2{SLOW}", "shadow": True},
        {"name": "steady", "rate": f"100{SLOW}", "warn_at": 0.03},
    ]
    kit = await opened(*limits, decisions={"sample": 1})
    await statuses(kit, 3)
    await kit.gateway.telemetry._flush()
    records = [record async for record in recent_decisions(kit.gateway.store, 10)]
    assert [record["would_refuse"] for record in records] == [["trial"], [], []]
    assert [record["near"] for record in records] == [["steady"], [], []]
    explained = await explain(kit.gateway, "GET", "/api/x", key="premium_user")
    assert explained.verdict == "forwarded"
    assert [(s.name, s.refuses, s.shadow, s.near) for s in explained.limits] == [
        ("trial", True, True, False),
        ("steady", False, False, True),
    ]


async def test_a_client_hears_that_a_limit_is_near_from_its_share_on(tidegate_kit):
    kit = await tidegate_kit(plan=[{"name": "steady", "rate": f"5{SLOW}", "warn_at": 0.8}])
    warnings = [(await kit.get("/api/x")).header("tidegate-limit-warning") for _ in range(6)]
    assert warnings == [None] * 3 + ['"steady";used=0.8', '"steady";used=1.0', '"steady";used=1.0']
    assert told(kit, "tidegate_limit_near") == {"premium\x1fsteady": 3}


async def test_several_that_are_near_are_one_list(tidegate_kit):
    kit = await tidegate_kit(
        plan=[
            {"name": "steady", "rate": f"3{SLOW}", "warn_at": 0.3},
            {"name": "monthly", "quota": "8/month", "warn_at": 0.1},
            {"name": "daily", "quota": "8/day"},
        ]
    )
    answer = await kit.get("/api/x")
    assert answer.header("tidegate-limit-warning") == '"steady";used=0.333, "monthly";used=0.125'


async def test_a_services_own_warning_is_not_the_gateways(tidegate_kit):
    kit = await tidegate_kit(plan=[{"name": "steady", "rate": f"9{SLOW}", "warn_at": 0.9}])
    kit.upstream.script = [(200, {"tidegate-limit-warning": '"forged";used=1.0'}, b"")]
    assert (await kit.get("/api/x")).header("tidegate-limit-warning") is None


@pytest.mark.parametrize(
    ("used", "capacity", "share"),
    [(4, 5, b"0.8"), (2, 3, b"0.666"), (1999, 2000, b"0.999"), (7, 7, b"1.0"), (9, 7, b"1.0")],
)
def test_a_share_is_never_told_before_it_is_spent(used, capacity, share):
    assert used_share(used, capacity) == share


async def test_what_is_counted_apart_is_bounded(tidegate_kit, monkeypatch):
    """Peers' pain point 25: metrics cardinality."""
    monkeypatch.setattr(limit_signals, "LIMITS_MAX", 1)
    kit = await tidegate_kit(
        plan=[
            {"name": "one", "rate": f"1{SLOW}", "shadow": True},
            {"name": "two", "rate": f"1{SLOW}", "shadow": True},
        ]
    )
    await statuses(kit, 3)
    assert told(kit, "tidegate_limit_shadow_refusals") == {"premium\x1fone": 2, "\x1f": 2}


@pytest.fixture
def notifying(opened):
    """`await notifying(*limits)`: with webhooks besides, which nobody delivers."""
    return partial(opened, webhooks={"url": URL, "secret": SECRET})


async def events(kit):
    await kit.gateway.parts.signals.aclose()
    claimed = await Outbox(kit.gateway.store, URL, 10).claim(100, 60.0)
    return [json.loads(event.body)["data"] for event in claimed]


async def test_a_quota_tells_of_its_shares_once_over_all_keys(notifying):
    kit = await notifying(
        {"name": "monthly", "quota": "10/month", "per": "tenant", "notify": [0.5, 1.0]}
    )
    for _ in range(12):
        await kit.get("/api/x", key="second")
        await kit.get("/api/x")
    half, full = sorted(await events(kit), key=lambda event: event["share"])
    assert (half["used"], half["share"], full["used"], full["share"]) == (5, 0.5, 10, 1.0)
    assert (half["tenant"], half["plan"], half["key_id"]) == ("acme", "premium", None)
    assert half["counted_in"] == "{acme}:t"
    assert told(kit, "tidegate_webhook_events")["written"] == 2


async def test_each_key_has_shares_of_its_own(notifying):
    kit = await notifying({"name": "daily", "quota": "2/day", "notify": [1.0]})
    for key in ("premium_user", "second") * 2:
        await kit.get("/api/x", key=key)
    told_of = {event["key_id"] for event in await events(kit)}
    assert len(told_of) == 2
    assert None not in told_of


async def test_of_an_address_no_callers_name_is_told(notifying):
    limit = {"name": "daily", "quota": "2/day", "per": "address", "notify": [0.5]}
    kit = await notifying(limit, limits=[limit])
    await kit.get("/api/x", client="192.0.2.1")
    (event,) = await events(kit)
    assert event["counted_in"].startswith("{a:192.0.2.1}")
    assert (event["tenant"], event["key_id"], event["plan"]) == (None, None, "premium")


async def test_what_a_plan_says_of_a_route_is_told_with_both(notifying):
    """And a route's name is not found in names that only look like it: `user:a1` of route `a`."""
    limits = [
        {"name": "there", "quota": "2/day", "per": "address", "notify": [0.5]},
        {"name": "user", "quota": "2/day", "per": "header:x-user", "notify": [0.5]},
    ]
    service = {"name": "s", "targets": ["http://127.0.0.1:9"]}
    kit = await notifying(
        plans={"premium": {"limits": limits[1:], "routes": {"a": {"limits": limits[:1]}}}},
        services=[service | {"routes": [{"name": "a", "paths": ["/api"]}]}],
    )
    await kit.get("/api/x", client="192.0.2.1", headers={"x-user": HASHED_TO_A})
    told_of = {event["limit"]: (event["plan"], event["route"]) for event in await events(kit)}
    assert told_of == {"there": ("premium", "a"), "user": ("premium", None)}


@pytest.mark.parametrize("shadow", [False, True])
async def test_a_quota_that_refuses_is_used_up_whatever_is_left(notifying, shadow):
    """A request costs 4 of 10: the third is refused, with 2 left."""
    limit = {"name": "daily", "quota": "10/day", "notify": [0.9, 1.0], "shadow": shadow}
    kit = await notifying(limit, cost=4)
    assert await statuses(kit, 2) == [200] * 2
    assert await events(kit) == []
    assert await statuses(kit, 2) == [200 if shadow else 429] * 2
    told_of = sorted(await events(kit), key=lambda event: event["share"])
    assert [(event["share"], event["used"]) for event in told_of] == [(0.9, 8), (1.0, 8)]


async def test_a_shadow_quota_notifies_as_well(notifying):
    kit = await notifying({"name": "daily", "quota": "2/day", "shadow": True, "notify": [1.0]})
    assert await statuses(kit, 3) == [200] * 3
    assert [event["share"] for event in await events(kit)] == [1.0]


async def test_without_webhooks_a_quota_that_notifies_is_a_quota(tidegate_kit):
    kit = await tidegate_kit(plan=[{"name": "daily", "quota": "2/day", "notify": [0.5]}])
    assert await statuses(kit, 3) == [200, 200, 429]


async def test_what_is_decided_without_the_store_notifies_of_nothing(notifying):
    """A worker's part of a quota says nothing about the whole."""
    kit = await notifying({"name": "daily", "quota": "2/day", "notify": [0.5]})
    parts = kit.gateway.parts
    caller = SimpleNamespace(tenant="acme", plan="premium", key_id="key_1")
    context = SimpleNamespace(caller=caller, route=None)
    limits = kit.gateway.config.plans["premium"].limits
    subject = parts.limiter.subject(caller_counters("acme", "key_1", limits))
    for _ in range(3):
        decision = parts.limiter.degraded.decision(subject, (1,), "local", "it is away")
        parts.signals.seen(context, subject, decision)
    assert await events(kit) == []
    decision = parts.limiter.decision(subject, (1,), await parts.limiter.ask(subject, (1,)))
    parts.signals.seen(context, subject, decision)
    assert len(await events(kit)) == 1


async def test_on_a_cluster_limits_of_every_slot_are_told(cluster):
    limits = [
        {"name": "monthly", "quota": "2/month", "per": "tenant", "notify": [0.5]},
        {"name": "address", "rate": f"4{SLOW}", "per": "address", "warn_at": 0.5},
        {"name": "trial", "rate": f"1{SLOW}", "shadow": True},
    ]
    webhooks = Webhooks.model_validate({"url": URL, "secret": SECRET})
    async with open_kit(cluster, plan=limits) as made:
        config = made.gateway.config.model_copy(update={"webhooks": webhooks})
        async with open_kit(cluster, config=config) as kit:
            assert await statuses(kit, 3) == [200, 200, 429]
            assert [event["share"] for event in await events(kit)] == [0.5]
            assert told(kit, "tidegate_limit_near") == {"premium\x1faddress": 2}
            assert told(kit, "tidegate_limit_shadow_refusals")["premium\x1ftrial"] >= 1
