"""Limits of plans, tenants and keys by the API: shown as they were said, and heard by workers."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.control.conftest import Client
from tests.identity.conftest import known
from tidegate.config import Config
from tidegate.config.limits import as_written
from tidegate.control.limit_fields import ShownLimit
from tidegate.identity import Caller, KeyResolver
from tidegate.store import Store

Eventually = Callable[..., Awaitable[None]]
STEADY = {"name": "steady", "rate": "100/s", "burst": 200}
EVERY_KIND: list[dict[str, Any]] = [
    STEADY,
    {"name": "window", "rate": "100/m", "algorithm": "sliding-window"},
    {"name": "monthly", "quota": "9/month", "time_zone": "Europe/Berlin", "billing_day": 15},
    {"name": "parallel", "concurrency": 10, "lease": "45s"},
]


async def secret(admin: Client, **more: Any) -> dict[str, Any]:
    made = await admin.post("/v1/keys", json={"tenant": "acme", "name": "ci", **more})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def caller(config: Config, store: Store, key: str) -> Caller:
    resolver = KeyResolver(config, store)
    try:
        return await resolver.resolve(key.encode())
    finally:
        resolver.close()


def told(limits: Any) -> list[dict[str, Any]]:
    return [as_written(limit) for limit in limits]


async def test_every_kind_of_limit_comes_back_as_it_was_put(admin: Client) -> None:
    assert (await admin.put("/v1/plans/gold", json={"limits": EVERY_KIND})).status_code == 201
    shown = (await admin.get("/v1/plans/gold")).json()["limits"]
    steady, window, monthly, parallel = (ShownLimit.model_validate(one) for one in shown)
    assert (steady.rate, steady.burst, steady.algorithm) == ("100/second", 200, "token-bucket")
    assert (window.rate, window.burst, window.algorithm) == ("100/minute", None, "sliding-window")
    assert (monthly.quota, monthly.time_zone, monthly.billing_day) == (
        "9/month",
        "Europe/Berlin",
        15,
    )
    assert (parallel.concurrency, parallel.lease) == (10, "45s")


async def test_what_is_said_at_every_level_reaches_the_caller(
    admin: Client, config: Config, store: Store
) -> None:
    plan = {
        "limits": [STEADY],
        "routes": {"things": {"limits": [{"name": "steady", "rate": "1/s"}]}},
        "on_store_failure": "closed",
    }
    shown = (await admin.put("/v1/plans/gold", json=plan)).json()
    assert shown["routes"]["things"]["limits"][0]["rate"] == "1/second"
    assert shown["on_store_failure"] == "closed"
    own = {"plan": "gold", "limits": [{"name": "daily", "quota": "9/day", "per": "tenant"}]}
    shown = (await admin.put("/v1/tenants/acme", json=own)).json()
    assert shown["limits"][0]["quota"] == "9/day"
    key = await secret(admin, limits=[{"name": "daily", "removes": True}])
    assert [limit["removes"] for limit in key["limits"]] == [True]

    found = await caller(config, store, key["key"])
    assert told(found.own.plan) == [{"name": "steady", "rate": "100/second", "burst": 200}]
    assert [*found.own.plan_on_routes] == ["things"]
    assert told(found.own.tenant) == [{"name": "daily", "per": "tenant", "quota": "9/day"}]
    assert told(found.own.key) == [{"name": "daily", "rate": None}]
    assert found.on_store_failure == "closed"


async def test_a_keys_limits_change_stay_and_are_heard(
    admin: Client, config: Config, store: Store, eventually: Eventually
) -> None:
    await admin.put("/v1/plans/gold", json={"limits": [STEADY]})
    await admin.put("/v1/tenants/acme", json={"plan": "gold"})
    key = await secret(admin)
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    assert (await resolver.resolve(key["key"].encode())).own.key == ()

    path = f"/v1/keys/{key['id']}"
    limits = [{"name": "steady", "rate": "3/s"}]
    changed = await admin.patch(path, json={"limits": limits})
    assert changed.status_code == 200, changed.text
    await eventually(lambda: known(resolver, key["key"].encode()) is None, 1.0)
    assert told((await resolver.resolve(key["key"].encode())).own.key)[0]["rate"] == "3/second"
    resolver.close()

    await admin.patch(path, json={"name": "build"})
    rotated = (await admin.post(f"{path}/rotate", json={"overlap_s": 60})).json()
    for current in (rotated["key"], key["key"]):
        assert told((await caller(config, store, current)).own.key)[0]["rate"] == "3/second"
    assert (await admin.patch(path, json={"limits": []})).json()["limits"] == []
    for current in (rotated["key"], key["key"]):
        assert (await caller(config, store, current)).own.key == ()


async def test_of_a_change_that_cannot_be_nothing_is_done(admin: Client) -> None:
    await admin.put("/v1/plans/gold", json={"limits": [STEADY]})
    await admin.put("/v1/tenants/acme", json={"plan": "gold"})
    key = await secret(admin)
    idle = [{"name": "a", "rate": "5/s", "unit": "tokens"}]
    path = f"/v1/keys/{key['id']}"
    refused = await admin.patch(path, json={"name": "build", "limits": idle})
    assert refused.status_code == 422
    assert (await admin.get(path)).json()["name"] == "ci"


async def test_records_of_earlier_versions_still_load(
    admin: Client, config: Config, store: Store
) -> None:
    """They have limits with a name, a rate and a burst or a quota; tenants and keys have none."""
    await admin.put("/v1/plans/gold", json={"limits": [STEADY]})
    await admin.put("/v1/tenants/acme", json={"plan": "gold"})
    key = await secret(admin)
    old = (
        '[{"name": "steady", "rate": "5/second", "burst": 7, "per": "key"},'
        ' {"name": "daily", "quota": "9/day", "per": "tenant"}]'
    )
    await store.execute("HSET", "tg:plan:gold", "limits", old)
    await store.execute("HDEL", "tg:plan:gold", "routes", "on_store_failure", "allow")
    await store.execute("HDEL", "tg:tenant:acme", "limits")
    (record,) = await store.execute("KEYS", "tg:key:*")
    await store.execute("HDEL", record, "limits")
    found = await caller(config, store, key["key"])
    assert [limit.name for limit in found.own.plan] == ["steady", "daily"]
    assert (found.own.tenant, found.own.key, found.own.plan_on_routes) == ((), (), {})
    assert (await admin.get("/v1/tenants/acme")).json()["limits"] == []
    assert (await admin.get(f"/v1/keys/{key['id']}")).json()["limits"] == []


@pytest.mark.parametrize(
    "body, words",
    [
        ({"limits": [{"name": "a", "rate": "5/s", "unit": "tokens"}]}, "No route costs tokens"),
        ({"limits": [{"name": "a", "quota": "5/day", "billing_day": 3}]}, "begins a month"),
        ({"limits": [{"name": "a", "quota": "5/day", "time_zone": "Nowhere"}]}, "IANA list"),
        ({"limits": [{"name": "a", "rate": "5/s", "per": "planet"}]}, "header:NAME"),
        ({"limits": [{"name": "a", "concurrency": 5, "lease": "30"}]}, "such as 30s"),
        ({"limits": [{"name": "a", "rate": "5/s", "on_missing": "key"}]}, "per: header:NAME"),
        ({"limits": [], "routes": {"nope": {"limits": []}}}, "no route nope"),
        ({"limits": [], "routes": {"open": {"limits": []}}}, "auth: none"),
        (
            {"limits": [], "routes": {"things": {"limits": [{"name": "a", "rate": "1/mo",
             "burst": 10**9}]}}},
            "within ten years",
        ),
    ],
)  # fmt: skip
async def test_what_the_file_could_not_say_is_refused_in_its_words(
    admin: Client, body: dict[str, Any], words: str
) -> None:
    answer = await admin.put("/v1/plans/gold", json=body)
    assert answer.status_code == 422
    assert words in answer.text
    assert (await admin.get("/v1/plans/gold")).status_code == 404


@pytest.mark.parametrize(
    "limit, place, words",
    [
        (
            {"name": "a", "rate": "5/s", "algorithm": "fixed"},
            "body.limits.0.algorithm",
            "write token-bucket or sliding-window",
        ),
        (
            {"name": "a", "quota": "5/day", "burst": 5},
            "body.limits.0.burst",
            "a burst goes with a rate, such as {rate: 5/s, burst: 10}; a quota, a sliding window "
            "or a concurrency has none",
        ),
        (
            {"name": "a", "rate": "5/m", "algorithm": "sliding-window", "per": "planet"},
            "body.limits.0.per",
            "write key, tenant, address, route, global or header:NAME",
        ),
        ({"name": "a", "concurrency": 5, "color": 1}, "body.limits.0.color", "unknown field"),
        (
            {"name": "nope", "removes": True},
            "body.limits.0.removes",
            'nobody says a limit "nope" below this: there is none to take away',
        ),
    ],
)
async def test_what_a_limit_cannot_say_is_told_in_words(
    admin: Client, limit: dict[str, Any], place: str, words: str
) -> None:
    answer = await admin.put("/v1/plans/gold", json={"limits": [limit]})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"in": place, "message": words}]


async def test_a_removal_finds_what_it_takes_away_at_every_level(admin: Client) -> None:
    gone = [{"name": "steedy", "removes": True}]
    on_route = {"limits": [STEADY], "routes": {"things": {"limits": gone}}}
    await admin.put("/v1/plans/gold", json={"limits": [STEADY]})
    await admin.put("/v1/tenants/acme", json={"plan": "gold"})
    key = await secret(admin)
    for answer in (
        await admin.put("/v1/plans/gold", json=on_route),
        await admin.put("/v1/tenants/acme", json={"plan": "gold", "limits": gone}),
        await admin.post("/v1/keys", json={"tenant": "acme", "name": "two", "limits": gone}),
        await admin.patch(f"/v1/keys/{key['id']}", json={"limits": gone}),
    ):
        assert answer.status_code == 422, answer.text
        assert 'did you mean \\"steady\\"?' in answer.text
    right = [{"name": "steady", "removes": True}]
    kept = await admin.patch(f"/v1/keys/{key['id']}", json={"limits": right})
    assert kept.status_code == 200, kept.text
    assert (await admin.put("/v1/tenants/acme", json={"plan": "gold", "limits": right})).is_success


async def test_what_is_left_is_told_of_the_limits_that_hold(admin: Client) -> None:
    await admin.put("/v1/plans/gold", json={"limits": [STEADY]})
    daily = {"name": "daily", "quota": "9/day", "per": "tenant"}
    await admin.put("/v1/tenants/acme", json={"plan": "gold", "limits": [daily]})
    key = await secret(admin, limits=[{"name": "steady", "rate": "3/s"}])
    shown = (await admin.get(f"/v1/keys/{key['id']}/limits")).json()["limits"]
    assert {limit["name"]: limit["limit"] for limit in shown} == {"steady": 3, "daily": 9}
    shared = (await admin.get("/v1/tenants/acme/limits")).json()["limits"]
    assert [limit["name"] for limit in shared] == ["daily"]


@pytest.mark.parametrize("place", ["plan", "plan's route", "tenant", "key", "changed key"])
async def test_a_quota_that_notifies_needs_webhooks_in_the_file(admin: Client, place: str) -> None:
    limits = [{"name": "monthly", "quota": "9/month", "notify": [1.0]}]
    await admin.put("/v1/tenants/acme", json={"plan": "free"})
    if place == "plan":
        answer = await admin.put("/v1/plans/pro", json={"limits": limits})
    elif place == "plan's route":
        body = {"limits": [STEADY], "routes": {"things": {"limits": limits}}}
        answer = await admin.put("/v1/plans/pro", json=body)
    elif place == "tenant":
        answer = await admin.put("/v1/tenants/other", json={"plan": "free", "limits": limits})
    elif place == "changed key":
        body = {"tenant": "acme", "name": "ci"}
        key_id = (await admin.post("/v1/keys", json=body)).json()["id"]
        answer = await admin.patch(f"/v1/keys/{key_id}", json={"limits": limits})
    else:
        body = {"tenant": "acme", "name": "ci", "limits": limits}
        answer = await admin.post("/v1/keys", json=body)
    assert answer.status_code == 422
    assert "there is nobody to tell" in answer.json()["detail"]
