"""A plan has the routes it names: decided after who calls and before what it costs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.config import Allowed, Config, TokenBucket
from tidegate.config.schema import Plan
from tidegate.identity import Caller, InvalidObject, Repository
from tidegate.policies.entitle import Entitlement
from tidegate.testing import Kit, ScriptedUpstream, open_kit

STEADY = {"name": "steady", "rate": "1/h", "burst": 3}
OWN = """
def build():
    async def policy(request, call_next):
        return await call_next(request)
    return policy
"""


def config(url: str, **reports: Any) -> Config:
    routes = [
        {"name": "reports", "paths": ["/api/reports"], **reports},
        {"name": "exports", "paths": ["/api/exports"]},
    ]
    plans = {
        "free": {"limits": [STEADY], "allow": [{"route": "reports", "methods": ["GET"]}]},
        "basic": {"limits": [STEADY], "allow": [{"route": "reports"}]},
        "premium": {"limits": [STEADY]},
    }
    return Config.model_validate(
        {
            "version": 1,
            "plans": plans,
            "tenants": [
                {"name": plan, "plan": plan, "keys": [{"name": plan, "value": f"{plan}-key"}]}
                for plan in plans
            ],
            "services": [{"name": "test", "targets": [url], "routes": routes}],
        }
    )


@pytest.fixture
async def tiers(tidegate_store):
    async with (
        ScriptedUpstream() as upstream,
        open_kit(tidegate_store, config=config(upstream.url)) as kit,
    ):
        kit.upstream = upstream
        yield kit


async def status(kit: Kit, method: str, path: str, key: str) -> int:
    return (await kit.request(method, path, key=key)).status


async def test_each_plan_reaches_what_it_names_and_nothing_else(tiers):
    for method, path, allowed in (
        ("GET", "/api/reports/7", ["free-key", "basic-key", "premium-key"]),
        ("HEAD", "/api/reports", ["free-key"]),
        ("POST", "/api/reports", ["basic-key", "premium-key"]),
        ("GET", "/api/exports", ["premium-key"]),
    ):
        for key in ("free-key", "basic-key", "premium-key"):
            if method != "HEAD" or key in allowed:
                wanted = 200 if key in allowed else 403
                assert await status(tiers, method, path, key) == wanted, (method, path, key)


async def test_a_refusal_names_the_plans_that_have_it_and_reaches_nobody(tiers):
    answer = await tiers.request("POST", "/api/reports", key="free-key")
    problem = json.loads(answer.body)
    assert (answer.status, problem["type"]) == (403, "urn:tidegate:problem:plan-not-entitled")
    assert problem["entitled-plans"] == ["basic", "premium"]
    assert (problem["plan"], problem["route"], problem["method"]) == ("free", "reports", "POST")
    assert problem["source"] == "gateway"
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("x-request-id")
    assert tiers.upstream.requests == []


async def test_a_refusal_asks_the_store_nothing_and_charges_nothing(tiers):
    store = tiers.gateway._given_store
    before = (await store.execute("INFO", "commandstats")).count(b"evalsha")
    for _ in range(5):
        answer = await tiers.get("/api/exports", key="free-key")
        assert answer.status == 403
        assert answer.header("x-ratelimit-remaining") is None
    assert (await store.execute("INFO", "commandstats")).count(b"evalsha") == before
    assert await store.execute("KEYS", "tg:limits:*") == []
    assert (await tiers.get("/api/reports", key="free-key")).header("x-ratelimit-remaining") == "2"


async def test_a_route_behind_a_policy_of_ones_own_is_guarded_as_well(tidegate_store, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    own = [{"use": str(tmp_path / "own.py"), "before": "authenticate"}]
    async with ScriptedUpstream() as upstream:
        configured = config(upstream.url, policies=own)
        async with open_kit(tidegate_store, config=configured, directory=Path(tmp_path)) as kit:
            assert await status(kit, "POST", "/api/reports", "free-key") == 403
            assert await status(kit, "GET", "/api/reports", "free-key") == 200


async def test_a_plan_made_by_api_carries_it_and_a_change_is_seen_within_a_second(
    tiers, tidegate_store
):
    repository = Repository(tiers.gateway.config, tidegate_store)
    reports, exports = Allowed(route="reports"), Allowed(route="exports", methods=("GET",))
    await repository.plans.put("gold", (), allow=(reports,))
    await repository.tenants.put("miner", "gold")
    key = (await repository.create_key("miner", "laptop")).key
    statuses: list[int] = []

    async def exported() -> int:
        statuses.append(await status(tiers, "GET", "/api/exports", key))
        return statuses[-1]

    assert await exported() == 403
    assert await status(tiers, "POST", "/api/reports", key) == 200
    assert (await repository.plans.get("gold")).allow == (reports,)
    await repository.plans.put("gold", (), allow=(reports, exports))
    await eventually_is(exported, 200)
    assert await status(tiers, "POST", "/api/exports", key) == 403
    await repository.plans.put("gold", ())
    assert (await repository.plans.get("gold")).allow is None
    await eventually_is(lambda: status(tiers, "POST", "/api/exports", key), 200)


async def eventually_is(asked: Any, wanted: int) -> None:
    async with asyncio.timeout(1.0):
        while await asked() != wanted:  # noqa: ASYNC110 another process sets no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "allow",
    [(), (Allowed(route="report"),), (Allowed(route="reports"), Allowed(route="reports"))],
)
async def test_a_plan_of_the_api_names_routes_there_are_each_once(tiers, tidegate_store, allow):
    repository = Repository(tiers.gateway.config, tidegate_store)
    with pytest.raises(InvalidObject):
        await repository.plans.put("gold", (), allow=allow)


async def test_a_stored_plan_of_an_earlier_version_has_every_route(tiers, tidegate_store):
    repository = Repository(tiers.gateway.config, tidegate_store)
    await repository.plans.put("gold", (TokenBucket(name="s", rate="9/s", burst=9),))
    await tidegate_store.execute("HDEL", "tg:plan:gold", "allow")
    await repository.tenants.put("miner", "gold")
    key = (await repository.create_key("miner", "laptop")).key
    assert await status(tiers, "DELETE", "/api/exports", key) == 200


def test_where_no_plan_of_the_file_has_it_the_refusal_says_so():
    entitlement = Entitlement("exports", {"free": Plan(allow=(Allowed(route="reports"),))})
    caller = Caller.of("demo", "free", "key_1", "laptop", allow=(Allowed(route="reports"),))
    error = entitlement.refusal(caller, "GET")
    assert error.members["entitled-plans"] == []
    assert "no plan of the file has it" in error.detail
