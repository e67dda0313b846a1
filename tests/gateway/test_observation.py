"""What requests leave behind: metrics, usage, decision records, and the debug field for admins."""

import json
import time

import pytest
from pydantic import SecretStr

from tidegate.cache.places import LAST_USE
from tidegate.gateway import explain
from tidegate.http.errors import BadRequest, ServiceUnavailable
from tidegate.telemetry import read_usage, recent_decisions
from tidegate.telemetry.decisions import STREAM

TOKEN = "an-admin-token-of-some-length"
ASKS = {"Tidegate-Debug": "1", "Tidegate-Debug-Token": TOKEN}
TWO = [{"name": "steady", "rate": "1/h", "burst": 2}]


def told(kit, name):
    return kit.gateway.telemetry.series().get(name, {})


async def test_answers_are_counted_by_who_made_them(tidegate_kit):
    kit = await tidegate_kit(plan=TWO)
    for _ in range(3):
        await kit.get("/api/x")
    await kit.get("/api/x", key="wrong")
    await kit.get("/nowhere")
    await kit.get("/health")
    assert told(kit, "tidegate_requests") == {
        "\x1f\x1f404\x1fgateway": 1,
        "test\x1ftest\x1f200\x1fupstream": 2,
        "test\x1ftest\x1f429\x1fgateway": 1,
        "test\x1ftest\x1f401\x1fgateway": 1,
    }
    assert told(kit, "tidegate_limit_decisions")["test\x1ftest\x1fadmitted"] == 2
    assert told(kit, "tidegate_limit_decisions")["test\x1ftest\x1frefused"] == 1
    assert told(kit, "tidegate_limit_refusals") == {"premium\x1fsteady": 1}
    upstream = told(kit, "tidegate_request_seconds")["test\x1ftest\x1fupstream"]
    assert sum(upstream[:-1]) == 2


async def test_what_a_door_refused_is_counted_without_a_route(tidegate_kit):
    kit = await tidegate_kit()
    kit.gateway.refused(BadRequest("no"))
    kit.gateway.refused(ServiceUnavailable("full"), is_cut=True)
    assert told(kit, "tidegate_requests") == {
        "\x1f\x1f400\x1fgateway": 1,
        "\x1f\x1f503\x1fgateway": 1,
    }
    assert told(kit, "tidegate_requests_aborted")["\x1f"] == 1


async def test_a_failing_upstream_is_the_gateways_answer_and_the_upstreams_time(tidegate_kit):
    kit = await tidegate_kit()
    await kit.upstream.aclose()
    assert (await kit.get("/api/x")).status == 503
    assert told(kit, "tidegate_requests") == {"test\x1ftest\x1f503\x1fgateway": 1}
    upstream = told(kit, "tidegate_request_seconds")["test\x1ftest\x1fupstream"]
    assert sum(upstream[:-1]) == 1


async def test_a_stream_is_recorded_when_it_ends_with_its_bytes(tidegate_kit):
    kit = await tidegate_kit()
    body = b"x" * 500_000
    kit.upstream.script = [(200, {}, body)]
    assert (await kit.get("/api/x")).body == body
    assert told(kit, "tidegate_response_bytes")["test\x1ftest"] == 500_000
    assert told(kit, "tidegate_requests_aborted")["test\x1ftest"] == 0


async def test_usage_and_records_are_in_the_store_once_the_gateway_has_closed(
    tidegate_kit, tidegate_store
):
    kit = await tidegate_kit(plan=TWO)
    for _ in range(3):
        await kit.get("/api/x")
    await kit.gateway.__aexit__(None, None, None)
    now = int(time.time()) // 60
    rows = await read_usage(tidegate_store, "acme", now - 1, now)
    assert [(r.route, r.requests, r.refused) for r in rows] == [("test", 3, 1)]
    (record,) = [record async for record in recent_decisions(tidegate_store, 10)]
    assert (record["status"], record["verdict"], record["cost"]) == (429, "refused", 1)
    assert record["limits"] == [{"name": "steady", "capacity": 2, "remaining": 0}]


async def test_a_record_tells_what_the_answer_used(tidegate_kit, tidegate_store):
    costs = {"tokens": {"reserve": 500, "settle": {"json": "usage.total"}}}
    tokens = [{"name": "tokens", "rate": "1000/h", "burst": 1000, "unit": "tokens"}]
    kit = await tidegate_kit(plan=tokens, route={"costs": costs})
    kit.gateway.telemetry._samples._every, kit.gateway.telemetry._samples._next = 1, 0
    kit.upstream.script = [(200, {"content-type": "application/json"}, b'{"usage":{"total":40}}')]
    assert (await kit.get("/api/x")).status == 200
    await kit.gateway.__aexit__(None, None, None)
    (record,) = [record async for record in recent_decisions(tidegate_store, 10)]
    assert (record["cost"], record["costs"]) == (1, {"tokens": 40})


async def test_an_admin_is_told_how_the_answer_came_about(tidegate_kit):
    kit = await tidegate_kit(plan=TWO)
    kit.gateway._admin_token = SecretStr(TOKEN)
    answer = await kit.get("/api/x", headers=ASKS)
    told = json.loads(answer.header("tidegate-debug"))
    assert (told["route"], told["source"], told["chain"][-1]) == ("test", "upstream", "forward")
    assert told["limits"][0]["remaining"] == 1
    assert told["target"] == kit.upstream.url.removeprefix("http://")
    assert told["timings_ms"]["total"] >= told["timings_ms"]["upstream"] > 0
    await kit.get("/api/x")
    refused = await kit.get("/api/x", headers=ASKS)
    assert refused.status == 429
    assert json.loads(refused.header("tidegate-debug"))["source"] == "gateway"


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    "fields", [{"Tidegate-Debug": "1"}, {"Tidegate-Debug": "1", "Tidegate-Debug-Token": "guess"}]
)
async def test_nobody_else_is_told_and_nothing_of_it_goes_upstream(tidegate_kit, token, fields):
    kit = await tidegate_kit()
    kit.gateway._admin_token = None if token is None else SecretStr(token)
    answer = await kit.get("/api/x", headers={**fields, "Tidegate_Debug_Token": TOKEN})
    assert (answer.status, answer.header("tidegate-debug")) == (200, None)
    (received,) = kit.upstream.requests
    assert not [n for n, _ in received.headers if b"debug" in n.lower()]


async def test_explaining_charges_nothing_and_foretells_the_answer(tidegate_kit):
    kit = await tidegate_kit(plan=TWO)
    for left in (2, 2):
        explained = await explain(kit.gateway, "get", "/api/x?a=1", key="premium_user")
        assert (explained.verdict, explained.limits[0].remaining) == ("forwarded", left)
    assert explained.caller.tenant == "acme"
    assert kit.upstream.requests == []
    for _ in range(2):
        await kit.get("/api/x")
    explained = await explain(kit.gateway, "GET", "/api/x", key="premium_user")
    assert (explained.verdict, explained.status) == ("refused", 429)


@pytest.mark.parametrize(
    "target,key,status",
    [("/api/x", None, 401), ("/api/x", "wrong", 401), ("/nowhere", None, 404), ("/a b", None, 400)],
)
async def test_explaining_says_why_not(tidegate_kit, target, key, status):
    kit = await tidegate_kit()
    explained = await explain(kit.gateway, "GET", target, key=key)
    assert (explained.verdict, explained.status) == ("refused", status)
    assert explained.reason


async def test_explaining_says_what_the_cache_holds_and_changes_nothing(
    tidegate_kit, tidegate_store
):
    kit = await tidegate_kit(route={"cache": {"default_ttl": 60}})

    async def said(method, target):
        told = await explain(kit.gateway, method, target, host="gateway.test", key="premium_user")
        assert told.verdict == ("answered" if told.cache.startswith("hit") else "forwarded")
        return told.cache

    assert await said("GET", "/api/x?a=1") == "miss: nothing is stored"
    stale = {"Cache-Control": "max-age=60", "Age": "100", "ETag": '"1"'}
    kit.upstream.script = [(200, {}, b"x"), (200, stale, b"x"), (200, {"Vary": "X-Kind"}, b"x")]
    await kit.get("/api/x?a=1")
    await kit.get("/api/stale")
    await kit.get("/api/vary", headers={"X-Kind": "other"})
    used = await tidegate_store.execute("ZRANGE", LAST_USE, 0, -1, "WITHSCORES")
    for copies in ("of the worker", "of the store"):
        assert (await said("GET", "/api/x?a=1")).startswith("hit: fresh for "), copies
        kit.gateway.parts.cache.memory.on_change(None)
    assert await said("GET", "/api/x?a=2") == "miss: nothing is stored"
    assert (await said("GET", "/api/stale")).startswith("stale: for 4")
    assert await said("GET", "/api/vary") == "miss: what is stored answers other fields (Vary)"
    assert await said("POST", "/api/x?a=1") == "bypass: method POST"
    assert await tidegate_store.execute("ZRANGE", LAST_USE, 0, -1, "WITHSCORES") == used
    assert len(kit.upstream.requests) == 3


async def test_a_refused_request_is_not_looked_up(tidegate_kit):
    kit = await tidegate_kit(route={"cache": {"default_ttl": 60}}, plan=TWO)
    for target in ("/api/1", "/api/2"):
        await kit.get(target)
    explained = await explain(kit.gateway, "GET", "/api/1", key="premium_user")
    assert (explained.status, explained.cache) == (429, "on, but not reached")


async def test_explaining_reads_no_further_than_it_shows(tidegate_kit, tidegate_store, monkeypatch):
    kit = await tidegate_kit(plan=TWO)
    caller = (await explain(kit.gateway, "GET", "/api/x", key="premium_user")).caller
    record = {"key_id": caller.key_id, "route": "test"}
    for at in (*range(1000, 2000 - 5), 9, 7, 8, 5, 6):
        tidegate_store.execute("XADD", STREAM, "*", "r", json.dumps(record | {"time": at}))
    await tidegate_store.execute("CONFIG", "RESETSTAT")
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    explained = await explain(kit.gateway, "GET", "/api/x", key="premium_user")
    stats = (await tidegate_store.execute("INFO", "commandstats")).decode()
    assert len(parsed) == 5
    assert [record["time"] for record in explained.recent] == [9, 8, 7, 6, 5]
    assert "cmdstat_xrevrange:calls=1," in stats
