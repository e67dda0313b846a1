"""The core: its own paths, errors with an id, and what opening and closing leave behind."""

import json
from pathlib import Path

import pytest

from tidegate.gateway import Gateway, GatewayNotOpen
from tidegate.http import Headers, Request
from tidegate.identity import resolver
from tidegate.identity.key_format import digest, new_key
from tidegate.policies import PolicyNotLoaded


async def test_health_and_ready_answer_without_a_key(tidegate_kit):
    kit = await tidegate_kit(route={"paths": ["/"]})
    health = await kit.get("/health", key=None)
    assert (health.status, json.loads(health.body)) == (200, {"status": "alive"})
    assert health.header("x-request-id") is not None
    ready = await kit.get("/ready", key=None)
    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready", "store": "up"})
    assert (await kit.request("HEAD", "/health", key=None)).body == b""
    assert kit.upstream.requests == []


async def test_health_takes_get_and_head_only(tidegate_kit):
    kit = await tidegate_kit()
    answer = await kit.post("/health", key=None)
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


async def test_a_draining_gateway_is_alive_but_not_ready(tidegate_kit):
    kit = await tidegate_kit()
    kit.gateway.is_draining = True
    assert (await kit.get("/health", key=None)).status == 200
    answer = await kit.get("/ready", key=None)
    assert (answer.status, answer.header("retry-after")) == (503, "1")


async def test_an_unrouted_request_has_an_id_and_a_problem(tidegate_kit):
    kit = await tidegate_kit()
    answer = await kit.get("/elsewhere", headers={"X-Request-ID": "abc"})
    assert (answer.status, answer.header("x-request-id")) == (404, "abc")
    assert answer.header("content-type") == "application/problem+json"
    assert json.loads(answer.body)["source"] == "gateway"


async def test_a_method_the_route_does_not_take_is_405(tidegate_kit):
    kit = await tidegate_kit(route={"methods": ["GET"]})
    answer = await kit.post("/api/x")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    assert (await kit.request("HEAD", "/api/x")).status == 200


async def test_a_request_before_opening_gets_an_error_that_names_the_line_to_add(tidegate_kit):
    kit = await tidegate_kit()
    closed = Gateway(kit.gateway.config, data_dir=Path())
    with pytest.raises(GatewayNotOpen, match="async with"):
        await closed.handle(Request("GET", b"/", Headers()))


async def test_a_policy_that_cannot_be_loaded_opens_nothing(tidegate_kit):
    with pytest.raises(PolicyNotLoaded, match="no file"):
        await tidegate_kit(policies=[{"use": "missing.py"}])


async def test_an_upstreams_error_passes_unchanged(tidegate_kit):
    kit = await tidegate_kit()
    kit.upstream.script = [(503, {"content-type": "text/plain"}, b"the upstream's own words")]
    answer = await kit.get("/api/x")
    assert (answer.status, answer.body) == (503, b"the upstream's own words")
    assert answer.header("content-type") == "text/plain"


@pytest.mark.parametrize("broken", ["response.headers = {}", "response.headers.append(None)"])
async def test_an_answer_that_a_policy_broke_is_released_and_counted(
    tidegate_kit, tmp_path, broken
):
    (tmp_path / "breaks.py").write_text(
        "def build():\n"
        "    async def breaks(request, call_next):\n"
        "        response = await call_next(request)\n"
        f"        {broken}\n"
        "        return response\n"
        "    return breaks\n"
    )
    policies = [{"use": "breaks.py", "before": "authenticate"}]
    kit = await tidegate_kit(policies=policies, directory=tmp_path)
    kit.upstream.script = [[b"HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n", b"x" * 200_000]]
    request = Request("GET", b"/api/x", Headers([(b"x-api-key", b"premium_user")]), host=b"a")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the door makes a 500 of
        await kit.gateway.handle(request)
    (counts,) = kit.gateway.snapshot.upstreams[0].counts.values()
    assert counts.held == 0
    (meter,) = [m for m in kit.gateway.telemetry.recorder.folded() if m.route]
    assert meter.statuses["gateway"] == {500: 1}


async def test_a_key_is_hashed_once_on_its_way_to_a_401(tidegate_kit, monkeypatch):
    hashed: list[bytes] = []

    def noted(presented: bytes) -> bytes:
        hashed.append(presented)
        return digest(presented)

    monkeypatch.setattr(resolver, "digest", noted)
    kit = await tidegate_kit()
    assert (await kit.get("/api/x", key=(key := new_key()))).status == 401
    assert hashed == [key.encode()]
