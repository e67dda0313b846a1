"""What a caller is told of himself: true, free, for his key alone, and bounded in what it costs.

Peers' pain point 19: no usage query for clients.
"""

import json
import socket
import time

import httpx2
import pytest

from tests.gateway.usage_kit import LIMITS, PATH, config, usage
from tidegate.edge import AsgiDoor, NativeServer
from tidegate.gateway import caller_usage
from tidegate.testing import ScriptedUpstream, open_kit


def left_in(told):
    return [(limit["name"], limit["remaining"]) for limit in told["limits"]]


async def test_it_tells_who_calls_and_what_is_left(kit_of):
    kit = await kit_of()
    for _ in range(3):
        assert (await kit.get("/x", key="acme_key")).status == 200
    told = await usage(kit)
    assert (told["tenant"], told["plan"], told["key"]["name"]) == ("acme", "pro", "ci")
    assert told["key"]["id"].startswith("key_")
    steady, monthly = told["limits"]
    assert steady.pop("reset_s") <= 1
    assert 17 <= steady.pop("remaining") <= 20
    assert steady == {
        "name": "steady", "per": "key", "route": None, "unit": "requests", "limit": 20,
        "window_end": None,
    }  # fmt: skip
    assert (monthly["limit"], monthly["remaining"]) == (1000, 997)
    end = monthly["window_end"]
    assert time.gmtime(end)[2:6] == (1, 0, 0, 0)
    assert abs(end - time.time() - monthly["reset_s"]) < 2


async def test_it_costs_nothing_and_reaches_no_service(kit_of, monkeypatch):
    monkeypatch.setattr(caller_usage, "ANSWER_KEPT_S", 0.0)
    kit = await kit_of()
    first = left_in(await usage(kit))
    for _ in range(10):
        assert left_in(await usage(kit)) == first
    assert kit.upstream.requests == []


async def test_it_is_of_the_caller_alone(kit_of):
    kit = await kit_of()
    await kit.get("/x", key="acme_key")
    assert (await usage(kit, key="other_key"))["limits"][1]["remaining"] == 1000


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_without_a_key_that_is_known_nothing_is_told(kit_of, key):
    kit = await kit_of()
    answer = await kit.get(PATH, key=key)
    assert answer.status == 401
    assert answer.header("www-authenticate") is not None
    assert answer.header("x-request-id") is not None


async def test_guessing_there_is_throttled_as_everywhere(kit_of):
    kit = await kit_of(listen={"auth_failures": "3/m"})
    statuses = [(await kit.get(PATH, key=f"wrong_{n}")).status for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await kit.get("/x", key="wrong_9")).status == 429


async def test_the_answer_is_for_this_moment_and_this_caller(kit_of):
    kit = await kit_of()
    answer = await kit.get(PATH, key="acme_key")
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert (await kit.request("HEAD", PATH, key="acme_key")).body == b""
    refused = await kit.post(PATH, key="acme_key")
    assert (refused.status, refused.header("allow")) == (405, "GET, HEAD")


async def test_both_doors_answer_it(kit_of):
    kit = await kit_of()
    listener = socket.create_server(("127.0.0.1", 0))
    server = NativeServer(kit.gateway)
    await server.start(listener)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    asgi = httpx2.ASGITransport(AsgiDoor(kit.gateway))
    try:
        for transport in (None, asgi):
            async with httpx2.AsyncClient(transport=transport) as client:
                answer = await client.get(url, headers={"x-api-key": "acme_key"})
                assert (answer.status_code, answer.json()["tenant"]) == (200, "acme")
                assert (await client.get(url)).status_code == 401
    finally:
        await server.drain(1.0)


async def test_it_moves(kit_of):
    kit = await kit_of(listen={"usage_path": "/me"})
    answer = await kit.get("/me", key="acme_key")
    assert json.loads(answer.body)["tenant"] == "acme"
    await kit.get(PATH, key="acme_key")
    assert [request.target for request in kit.upstream.requests] == [PATH.encode()]


async def test_limits_of_one_route_are_told_with_it_and_shared_ones_once(kit_of):
    routes = [
        {"name": "search", "paths": ["/search"]},
        {"name": "all", "paths": ["/"]},
        {"name": "open", "paths": ["/open"], "auth": ()},
    ]
    plan = {"routes": {"search": {"limits": [{"name": "slow", "rate": "1/s"}]}}}
    kit = await kit_of(plan=plan, routes=routes)
    await kit.get("/search", key="acme_key")
    told = (await usage(kit))["limits"]
    assert [(limit["name"], limit["route"]) for limit in told] == [
        ("steady", None), ("slow", "search"), ("monthly", None),
    ]  # fmt: skip


async def test_routes_that_the_plan_has_not_are_not_told(kit_of):
    routes = [{"name": "search", "paths": ["/search"]}, {"name": "all", "paths": ["/"]}]
    plan = {
        "allow": [{"route": "all"}],
        "routes": {"search": {"limits": [{"name": "slow", "rate": "1/s"}]}},
    }
    kit = await kit_of(plan=plan, routes=routes)
    assert [limit["name"] for limit in (await usage(kit))["limits"]] == ["steady", "monthly"]


async def test_by_address_and_header_it_tells_of_this_requests_own(kit_of):
    plan = {
        "limits": [
            {"name": "address", "rate": "10/s", "per": "address"},
            {"name": "user", "rate": "10/s", "per": "header:x-user"},
        ]
    }
    kit = await kit_of(plan=plan)
    assert [limit["name"] for limit in (await usage(kit))["limits"]] == ["address"]
    told = (await usage(kit, **{"x-user": "ann"}))["limits"]
    assert sorted(limit["name"] for limit in told) == ["address", "user"]


async def test_a_route_is_not_found_in_names_that_only_look_like_it(kit_of):
    """The hash of this value begins with `a`, and so the state's end reads `user:a…`."""
    plan = {"limits": [{"name": "user", "rate": "10/s", "per": "header:x-user"}]}
    kit = await kit_of(plan=plan, routes=[{"name": "a", "paths": ["/"]}])
    told = (await usage(kit, **{"x-user": "u13"}))["limits"]
    assert [(limit["name"], limit["route"]) for limit in told] == [("user", None)]


async def test_all_kinds_of_limits_are_told(kit_of):
    plan = {
        "limits": [
            {"name": "at_once", "concurrency": 3},
            {"name": "window", "rate": "5/h", "algorithm": "sliding-window"},
            *LIMITS,
        ]
    }
    kit = await kit_of(plan=plan)
    await kit.get("/x", key="acme_key")
    told = {limit["name"]: limit["remaining"] for limit in (await usage(kit))["limits"]}
    assert told == {"at_once": 3, "window": 4, "steady": told["steady"], "monthly": 999}


async def test_asking_again_compiles_nothing(kit_of, monkeypatch):
    """50 routes with limits of their own took 14 ms of the worker, 20 times a second."""
    user = {"name": "user", "rate": "10/s", "per": "header:x-user"}
    routes = [{"name": name, "paths": [f"/{name}"], "limits": [user]} for name in ("a", "b")]
    kit = await kit_of(routes=routes)
    compiled, limiter = [], kit.gateway.parts.limiter
    subject = limiter.subject
    monkeypatch.setattr(caller_usage, "ANSWER_KEPT_S", 0.0)
    monkeypatch.setattr(limiter, "subject", lambda *of: compiled.append(of) or subject(*of))
    first = [await usage(kit), await usage(kit, **{"x-user": "ann"})]
    assert compiled
    compiled.clear()
    again = [await usage(kit), await usage(kit, **{"x-user": "ann"})]
    assert list(map(left_in, again)) == list(map(left_in, first))
    assert compiled == []
    told = [(limit["name"], limit["route"]) for limit in first[1]["limits"]]
    assert sorted(told, key=str) == [
        ("monthly", None), ("steady", None), ("user", "a"), ("user", "b")
    ]  # fmt: skip


async def test_limits_in_shadow_mode_are_not_told(kit_of):
    shadow = {"name": "trial", "rate": "1/s", "shadow": True}
    kit = await kit_of(plan={"limits": [*LIMITS, shadow]})
    assert [limit["name"] for limit in (await usage(kit))["limits"]] == ["steady", "monthly"]


async def test_it_counts_the_requests_of_the_last_hour(kit_of, monkeypatch):
    kit = await kit_of()
    monkeypatch.setattr(caller_usage, "COUNTS_KEPT_S", 0.0)
    for _ in range(4):
        await kit.get("/x", key="acme_key")
    await kit.get("/x", key="other_key")
    await kit.gateway.telemetry._flush()
    told = (await usage(kit))["last_hour"]
    assert told.pop("bytes") > 0
    assert told == {"requests": 4, "refused": 0}


async def test_who_asks_is_counted_as_a_request_without_a_route(kit_of):
    kit = await kit_of()
    await usage(kit)
    await kit.get(PATH, key=None)
    statuses = kit.gateway.telemetry.series()["tidegate_requests"]
    assert {key: n for key, n in statuses.items() if key.startswith("\x1f")} == {
        "\x1f\x1f200\x1fgateway": 1,
        "\x1f\x1f401\x1fgateway": 1,
    }


async def test_on_a_cluster_it_tells_of_limits_in_every_slot(cluster):
    plan = {"limits": [*LIMITS, {"name": "address", "rate": "10/s", "per": "address"}]}
    everybody = [{"name": "all", "quota": "100/day", "per": "global"}]
    async with (
        ScriptedUpstream() as upstream,
        open_kit(cluster, config=config(upstream, plan=plan, limits=everybody)) as kit,
    ):
        told = {limit["name"]: limit["remaining"] for limit in (await usage(kit))["limits"]}
    assert told == {"steady": 20, "monthly": 1000, "address": 10, "all": 100}
