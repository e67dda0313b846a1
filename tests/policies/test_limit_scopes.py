"""Limits of every level and scope through the whole chain, as clients meet them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from tidegate.config import Config
from tidegate.config.limits import CheckedEntry
from tidegate.identity import Repository
from tidegate.testing import Kit, ScriptedUpstream

ENTRIES: Any = TypeAdapter(tuple[CheckedEntry, ...])
Opened = Callable[..., Awaitable[Kit]]


def bucket(burst: int, per: str = "key", name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"name": name, "rate": "1/h", "burst": burst, "per": per} | fields


def tenant(name: str, plan: str = "pro", keys: tuple[str, ...] = (), **fields: Any) -> Any:
    named = [{"name": key, "value": key} for key in keys or (f"{name}_key",)]
    return {"name": name, "plan": plan, "keys": named} | fields


@pytest.fixture
async def opened(tidegate_kit: Any) -> AsyncIterator[Opened]:
    """`await opened(a={…}, b={…}, **sections)`: routes /a and /b with these fields, and tenants
    `acme` (keys acme_key, second_key) and `other` on the plan `pro`, unless told otherwise."""
    async with ScriptedUpstream() as upstream:

        async def kit_of(a: Any = None, b: Any = None, pro: Any = None, **sections: Any) -> Kit:
            routes = [
                {"name": name, "paths": [f"/{name}"]} | (fields or {})
                for name, fields in (("a", a), ("b", b))
            ]
            config = {
                "version": 1,
                "plans": {"pro": pro or {}, "free": {}},
                "tenants": [tenant("acme", keys=("acme_key", "second_key")), tenant("other")],
                "services": [{"name": "test", "targets": [upstream.url], "routes": routes}],
            } | sections
            kit: Kit = await tidegate_kit(config=Config.model_validate(config))
            kit.upstream = upstream
            return kit

        yield kit_of


async def statuses(kit: Kit, *asked: str, **options: Any) -> list[int]:
    """Ask for each `PATH KEY`, or only a path."""
    answers = []
    for one in asked:
        path, _, key = one.partition(" ")
        answers.append((await kit.get(path, key=key or None, **options)).status)
    return answers


async def test_a_route_without_keys_counts_by_address(opened: Opened):
    kit = await opened(a={"auth": [], "limits": [bucket(2, "address")]})
    answers = [await kit.get("/a", key=None, client="203.0.113.1") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header("ratelimit") for answer in answers[:2]] == [
        '"x";r=1;t=3600',
        '"x";r=0;t=3600',
    ]
    assert answers[2].header("retry-after") is not None
    assert json.loads(answers[2].body)["violated-policies"] == ["x"]
    assert await statuses(kit, "/a", client="203.0.113.2") == [200]
    assert len(kit.upstream.requests) == 3


async def test_one_v6_network_is_one_address_and_a_claim_is_none(opened: Opened):
    kit = await opened(a={"auth": [], "limits": [bucket(1, "address")]})
    assert await statuses(kit, "/a", client="2001:db8::1") == [200]
    assert await statuses(kit, "/a", client="2001:db8::2") == [429]
    claim = {"x-forwarded-for": "198.51.100.1"}
    assert await statuses(kit, "/a", client="2001:db8::3", headers=claim) == [429]


async def test_behind_a_trusted_proxy_its_clients_count(opened: Opened):
    listen = {"trusted_proxies": ["10.0.0.0/8"]}
    kit = await opened(a={"auth": [], "limits": [bucket(1, "address")]}, listen=listen)
    for number in (1, 2):
        claim = {"x-forwarded-for": f"198.51.100.{number}"}
        assert await statuses(kit, "/a", "/a", client="10.0.0.1", headers=claim) == [200, 429]


async def test_a_route_and_everybody_share_one_count(opened: Opened):
    kit = await opened(
        a={"limits": [bucket(3, "route", "route")]}, limits=[bucket(4, "global", "all")]
    )
    assert await statuses(kit, "/a acme_key", "/a other_key", "/a acme_key") == [200] * 3
    assert await statuses(kit, "/a other_key", "/b other_key", "/b acme_key") == [429, 200, 429]


async def test_what_a_route_says_counts_apart_for_it(opened: Opened):
    kit = await opened(a={"limits": [bucket(1)]}, b={"limits": [bucket(2)]})
    assert await statuses(kit, *["/a acme_key"] * 2, *["/b acme_key"] * 3) == [
        200, 429, 200, 200, 429,
    ]  # fmt: skip
    assert await statuses(kit, "/a second_key", "/a other_key") == [200, 200]


async def test_what_a_plan_says_of_a_route_takes_the_place_there_alone(opened: Opened):
    """Pain point 19: limits by tier, consumer and route together are hard to say."""
    kit = await opened(pro={"limits": [bucket(3)], "routes": {"a": {"limits": [bucket(1)]}}})
    assert await statuses(kit, "/a acme_key", "/a acme_key") == [200, 429]
    assert await statuses(kit, *["/b acme_key"] * 4) == [200, 200, 200, 429]


async def test_the_higher_level_holds_and_null_takes_away(opened: Opened):
    tenants = [
        tenant("acme", limits=[bucket(2)])
        | {
            "keys": [
                {"name": "a", "value": "a_key"},
                {"name": "b", "value": "b_key", "limits": [bucket(1)]},
                {"name": "c", "value": "c_key", "limits": [{"name": "x", "rate": None}]},
            ]
        },
        tenant("other"),
    ]
    kit = await opened(limits=[bucket(5)], pro={"limits": [bucket(3)]}, tenants=tenants)
    for key, burst in (("a_key", 2), ("b_key", 1), ("other_key", 3)):
        assert await statuses(kit, *[f"/a {key}"] * (burst + 1)) == [200] * burst + [429], key
    assert await statuses(kit, *["/a c_key"] * 9) == [200] * 9


async def test_a_plans_address_counts_over_all_callers_of_the_plan_and_no_other(opened: Opened):
    kit = await opened(
        pro={"limits": [bucket(2, "address")]},
        tenants=[tenant("acme"), tenant("other"), tenant("third", "free")],
    )
    assert await statuses(kit, "/a acme_key", "/b other_key", "/a acme_key") == [200, 200, 429]
    assert await statuses(kit, *["/a third_key"] * 3) == [200] * 3
    assert await statuses(kit, "/a other_key", client="203.0.113.9") == [200]


async def test_a_header_counts_within_the_tenant_and_its_absence_is_a_400(opened: Opened):
    kit = await opened(pro={"limits": [bucket(1, "header:x-user")]})
    ada, bob = {"x-user": "ada"}, {"x-user": "bob"}
    assert await statuses(kit, "/a acme_key", "/a second_key", headers=ada) == [200, 429]
    assert await statuses(kit, "/a acme_key", headers=bob) == [200]
    assert await statuses(kit, "/a other_key", headers=ada) == [200]
    answer = await kit.get("/a", key="acme_key")
    problem = json.loads(answer.body)
    assert (answer.status, problem["header"], problem["limit"]) == (400, "x-user", "x")
    assert answer.header("connection") is None


async def test_a_refusal_by_one_scope_spends_of_none(opened: Opened):
    """Pain points 15 and 20: what is refused is counted all the same, and not at once."""
    kit = await opened(
        pro={"limits": [bucket(9), bucket(9, "tenant", "t"), bucket(9, "address", "a")]},
        limits=[bucket(1, "global", "all")],
    )
    first = await kit.get("/a", key="acme_key")
    for _ in range(3):
        refused = await kit.get("/a", key="acme_key")
        assert refused.status == 429
        assert json.loads(refused.body)["violated-policies"] == ["all"]
    expected = {"x": "8", "t": "8", "a": "8", "all": "0"}
    for answer in (first, refused):
        items = (answer.header("ratelimit") or "").split(", ")
        assert {i.split('"')[1]: i.split("r=")[1].split(";")[0] for i in items} == expected


async def test_a_plan_of_the_api_limits_by_every_scope_without_a_reload(opened: Opened):
    kit = await opened()
    repository = Repository(kit.gateway.config, kit.gateway.store)
    limits = ENTRIES.validate_python([bucket(5, "address"), bucket(2, "header:x-user", "user")])
    await repository.plans.put("made", limits)
    await repository.tenants.put("made", "made")
    key = (await repository.create_key("made", "key")).key
    user = {"x-user": "ada"}
    assert await statuses(kit, *[f"/a {key}"] * 3, headers=user) == [200, 200, 429]
    await repository.plans.put("made", ENTRIES.validate_python([bucket(3, "route")]))
    async with asyncio.timeout(10):
        while (await kit.get("/b", key=key)).header("x-ratelimit-limit") != "3":
            pass
    assert await statuses(kit, f"/a {key}") == [200]


async def test_no_address_or_value_becomes_a_label(opened: Opened):
    """Pain point 25: labels that grow with what clients send."""
    kit = await opened(
        a={"auth": [], "limits": [bucket(1, "address"), bucket(1, "header:x-user", "user")]}
    )
    for number in range(5):
        headers = {"x-user": f"u{number}"}
        await statuses(kit, "/a", "/a", client=f"203.0.113.{number}", headers=headers)
    assert kit.gateway.telemetry.recorder.limit_refusals == {("", "x"): 5, ("", "user"): 5}
    kit.gateway.telemetry.recorder.folded()


async def test_the_chain_has_a_limit_layer_only_where_a_limit_can_hold(opened: Opened):
    def layers(kit: Kit) -> list[list[str]]:
        return [[name for name, _ in one.policies] for one in kit.gateway.snapshot.routes]

    kit = await opened(a={"auth": [], "limits": [bucket(1, "address")]}, b={"auth": []})
    assert layers(kit) == [
        ["request_identity", "limit", "forward"],
        ["request_identity", "forward"],
    ]
    kit = await opened(a={"auth": []}, b={"auth": []}, limits=[bucket(1), bucket(1, "tenant", "t")])
    assert layers(kit) == [["request_identity", "forward"]] * 2


async def test_what_requests_tell_is_kept_within_bounds(opened: Opened, monkeypatch: Any):
    """Pain point 8: memory that grows until the worker is killed."""
    monkeypatch.setattr("tidegate.policies.limit_subjects.SUBJECTS_MAX", 4)
    monkeypatch.setattr("tidegate.policies.limit_subjects.KNOWN_MAX", 2)
    kit = await opened(pro={"limits": [bucket(1, "address"), bucket(2, "route", "r")]})
    subjects = kit.gateway.parts.subjects
    for number in range(10):
        key = ("acme_key", "second_key", "other_key")[number % 3]
        await kit.get("/a", key=key, client=f"203.0.113.{number}")
        assert len(subjects._completed) <= 4
        assert sum(len(route.known) for route in subjects._routes.values()) <= 2
