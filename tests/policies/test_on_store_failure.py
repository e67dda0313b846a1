"""`on_store_failure`: what a route and a plan say becomes of requests while the store is away."""

import asyncio
import json
import logging

import pytest

from tidegate.config import Config
from tidegate.config.schema import Concurrency
from tidegate.rate_limiter import caller_counters
from tidegate.rate_limiter import degraded as degraded_module
from tidegate.telemetry import recent_decisions
from tidegate.testing import Kit, ScriptedUpstream, open_kit

BURST = [{"name": "steady", "rate": "1/h", "burst": 8}]


def config(url: str, **modes: str | None) -> Config:
    """Two plans and two routes; `modes` are theirs by name."""

    def of(name: str) -> dict[str, str]:
        mode = modes.get(name)
        return {} if mode is None else {"on_store_failure": mode}

    return Config.model_validate(
        {
            "version": 1,
            "plans": {name: {"limits": BURST, **of(name)} for name in ("one", "two")},
            "tenants": [
                {"name": name, "plan": name, "keys": [{"name": "key", "value": f"{name}_key"}]}
                for name in ("one", "two")
            ],
            "services": [
                {
                    "name": "test",
                    "targets": [url],
                    "routes": [
                        {"name": "api", "paths": ["/api"], **of("api")},
                        {"name": "other", "paths": ["/other"], **of("other")},
                    ],
                }
            ],
        }
    )


@pytest.fixture
async def kit_of(tidegate_store):
    """`await kit_of(**modes)`: a kit whose plans and routes say these modes."""
    async with ScriptedUpstream() as upstream:
        kits = []

        async def opened(**modes: str | None) -> Kit:
            context = open_kit(tidegate_store, config=config(upstream.url, **modes))
            kits.append(context)
            kit = await context.__aenter__()
            kit.upstream = upstream
            return kit

        yield opened
        for context in kits:
            await context.__aexit__(None, None, None)


async def lose_the_store(kit: Kit) -> None:
    await kit.gateway.store.connection.aclose()


async def test_by_default_limits_go_on_from_what_was_left(kit_of):
    """Pain point 12: Redis is down and every request gets a 500."""
    kit = await kit_of()
    asked = [await kit.get("/api/x", key="one_key") for _ in range(3)]
    await lose_the_store(kit)
    asked += [await kit.get("/api/x", key="one_key") for _ in range(6)]
    assert [answer.status for answer in asked] == [200] * 8 + [429]
    left = [answer.header("x-ratelimit-remaining") for answer in asked]
    assert left == ["7", "6", "5", "4", "3", "2", "1", "0", "0"]
    assert {answer.header("x-ratelimit-limit") for answer in asked} == {"8"}
    assert [answer.header("tidegate-degraded") for answer in asked] == [None] * 3 + ["local"] * 6
    problem = json.loads(asked[-1].body)
    assert problem["type"].endswith("http-problem-types#temporary-reduced-capacity")
    assert problem["violated-policies"] == ["steady"]
    assert 3500 < int(asked[-1].header("retry-after")) <= 3600
    assert json.loads(asked[-1].body)["violated-policies"] == ["steady"]


async def test_one_of_four_workers_has_a_quarter_of_what_was_left(kit_of):
    """Pain point 3: limits multiply by replica."""
    kit = await kit_of()
    kit.gateway.parts.limiter.degraded.note_workers(4)
    await kit.get("/api/x", key="one_key")
    await lose_the_store(kit)
    asked = [await kit.get("/api/x", key="one_key") for _ in range(3)]
    assert [answer.status for answer in asked] == [200, 429, 429]  # 7 / 4, rounded down


async def test_closed_refuses_with_503_and_says_when_to_come_back(kit_of):
    kit = await kit_of(api="closed")
    await kit.get("/api/x", key="one_key")
    await lose_the_store(kit)
    answer = await kit.get("/api/x", key="one_key")
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert answer.header("tidegate-degraded") is None
    assert len(kit.upstream.requests) == 1


async def test_open_passes_and_says_so(kit_of):
    kit = await kit_of(api="open")
    await lose_the_store(kit)
    asked = [await kit.get("/api/x", key="one_key") for _ in range(20)]
    assert {answer.status for answer in asked} == {200}
    assert {answer.header("tidegate-degraded") for answer in asked} == {"open"}
    assert asked[0].header("x-ratelimit-limit") is None


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ({}, "local"),
        ({"one": "open"}, "open"),
        ({"one": "closed"}, None),
        ({"two": "closed"}, "local"),
        ({"api": "open", "one": "closed"}, "open"),
        ({"api": "local", "one": "open"}, "local"),
        ({"api": "closed", "one": "open"}, None),
        ({"other": "closed"}, "local"),
    ],
)
async def test_the_route_says_else_the_plan_else_local(kit_of, said, becomes):
    kit = await kit_of(**said)
    await lose_the_store(kit)
    answer = await kit.get("/api/x", key="one_key")
    assert answer.header("tidegate-degraded") == becomes
    assert answer.status == (503 if becomes is None else 200)


async def test_a_service_cannot_say_that_an_answer_is_degraded(kit_of):
    kit = await kit_of()
    head = b"HTTP/1.1 200 OK\r\nTidegate-Degraded: open\r\ncontent-length: 0\r\n\r\n"
    kit.upstream.script = [head] * 2
    assert (await kit.get("/api/x", key="one_key")).header("tidegate-degraded") is None
    await lose_the_store(kit)
    assert (await kit.get("/api/x", key="one_key")).header("tidegate-degraded") == "local"


async def test_decisions_are_counted_by_mode_and_the_log_has_a_line_a_transition(
    kit_of, caplog, monkeypatch, eventually
):
    monkeypatch.setattr(degraded_module, "CALM_S", 0.2)
    kit = await kit_of(other="closed", two="open")
    with caplog.at_level(logging.WARNING, "tidegate.limits"):
        await kit.get("/api/x", key="one_key")
        assert caplog.messages == []
        connection = kit.gateway.store.connection
        await connection.aclose()
        for path, key in (("/api/x", "one_key"), ("/other/x", "one_key"), ("/api/x", "two_key")):
            for _ in range(3):
                await kit.get(path, key=key)
        assert len(caplog.messages) == 1
        assert "local, 1 of 1 workers" in caplog.messages[0]
        connection.start()
        await connection.wait_up(5)
        await eventually(lambda: len(caplog.messages) == 2)
    assert "3 open, 3 closed, 3 local" in caplog.messages[1]
    counted = kit.gateway.telemetry.series()["tidegate_degraded_decisions"]
    assert counted == {"open": 3, "closed": 3, "local": 3}
    answer = await kit.get("/api/x", key="one_key")
    assert (answer.status, answer.header("tidegate-degraded")) == (200, None)


async def test_decision_records_of_an_outage_are_written_after_it_and_say_so(kit_of):
    kit = await kit_of()
    connection = kit.gateway.store.connection
    await connection.aclose()
    refused = [await kit.get("/api/x", key="one_key") for _ in range(9)][-1]
    await asyncio.sleep(1.1)  # a flush finds the store away
    connection.start()
    await connection.wait_up(5)
    records = []
    async with asyncio.timeout(5):
        while not records:
            records = [record async for record in recent_decisions(kit.gateway.store, 10)]
    told = next(r for r in records if r["request_id"] == refused.header("x-request-id"))
    assert (told["status"], told["degraded"], told["limits"][0]["remaining"]) == (429, "local", 0)


async def test_what_was_spent_without_the_store_is_settled_when_it_is_back(kit_of):
    kit = await kit_of()
    connection = kit.gateway.store.connection
    for _ in range(3):
        await kit.get("/api/x", key="one_key")
    await connection.aclose()
    for _ in range(2):
        await kit.get("/api/x", key="one_key")
    connection.start()
    await connection.wait_up(5)
    limiter, subjects = kit.gateway.parts.limiter, kit.gateway.parts.subjects
    (subject,) = [found for found in subjects._compiled.values() if found.last[0]]
    async with asyncio.timeout(2):
        while (await limiter.states(subject))[0].remaining == 5:
            pass
    assert (await limiter.states(subject))[0].remaining == 3
    answer = await kit.get("/api/x", key="one_key")
    assert answer.header("x-ratelimit-remaining") == "2"


async def test_a_store_that_comes_and_goes_is_told_of_each_request_once(
    kit_of, monkeypatch, eventually
):
    monkeypatch.setattr(degraded_module, "CALM_S", 0.3)
    kit = await kit_of()
    connection = kit.gateway.store.connection
    for _ in range(3):
        await connection.aclose()
        answer = await kit.get("/api/x", key="one_key")
        assert answer.header("tidegate-degraded") == "local"
        connection.start()
        await connection.wait_up(5)
        await asyncio.sleep(0.25)
    await eventually(lambda: not kit.gateway.parts.limiter.degraded._local.places())
    assert (await kit.get("/api/x", key="one_key")).header("x-ratelimit-remaining") == "4"


async def test_requests_at_a_time_are_counted_by_what_runs_here(tidegate_store):
    parallel = Concurrency(name="parallel", concurrency=4)
    async with open_kit(tidegate_store) as kit:
        kit.gateway.parts.limiter.degraded.note_workers(2)
        limiter, leases = kit.gateway.parts.limiter, kit.gateway.parts.leases
        await lose_the_store(kit)
        subject = limiter.subject(caller_counters("t", "k", (parallel,)))
        held = []
        for allowed in (True, True, False):
            decision = limiter.degraded.decision(subject, (1,), "local", "away")
            assert decision.allowed is allowed
            if decision.lease:
                held.append(decision.lease)
                leases.hold(decision.lease)
        leases.release(held[0])
        assert limiter.degraded.decision(subject, (1,), "local", "away").allowed


async def test_the_gateway_is_ready_while_a_route_goes_on_without_the_store(kit_of):
    """Pain points 7 and 18: readiness kills all pods; an outage is hidden behind green health."""
    for modes, status in (
        ({}, 200),
        ({"api": "closed"}, 200),
        ({"api": "closed", "other": "closed"}, 503),
        ({"one": "closed"}, 200),
        ({"one": "closed", "two": "closed"}, 503),
        ({"one": "closed", "two": "closed", "api": "open"}, 200),
    ):
        kit = await kit_of(**modes)
        assert json.loads((await kit.get("/ready")).body)["store"] == "up"
        await lose_the_store(kit)
        answer = await kit.get("/ready")
        assert answer.status == status, modes
        if status == 200:
            assert json.loads(answer.body)["store"] == "down"
        kit.gateway.store.connection.start()
        await kit.gateway.store.connection.wait_up(5)
