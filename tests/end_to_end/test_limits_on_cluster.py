"""Limits of every scope on a real Cluster: those outside the tenant's hash slot are decided first,
and given back what they were charged where the tenant's own refuse. Never one too many."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tidegate.config import Config
from tidegate.config.schema import Redis
from tidegate.gateway import Gateway
from tidegate.store import open_store
from tidegate.testing import Answer, Kit, ScriptedUpstream


def bucket(name: str, burst: int, per: str) -> dict[str, Any]:
    return {"name": name, "rate": "1/h", "burst": burst, "per": per}


def config_of(target: str) -> Config:
    limits = [
        bucket("key", 30, "key"),
        bucket("tenant", 40, "tenant"),
        bucket("user", 25, "header:x-user"),
    ]
    return Config.model_validate(
        {
            "version": 1,
            "limits": [bucket("all", 50, "global"), bucket("address", 45, "address")],
            "plans": {"plan": {"limits": limits}, "parallel": {"limits": [
                {"name": "parallel", "concurrency": 1}
            ]}},
            "tenants": [
                {"name": name, "plan": plan, "keys": [
                    {"name": key, "value": f"{name}-{key}"} for key in ("a", "b")
                ]}
                for name, plan in (("acme", "plan"), ("other", "plan"), ("third", "parallel"))
            ],
            "services": [
                {"name": "s", "targets": [target], "routes": [
                    {"name": "api", "paths": ["/api"], "limits": [bucket("route", 48, "route")]},
                    {"name": "open", "paths": ["/open"], "auth": []},
                ]}
            ],
        }
    )  # fmt: skip


@pytest.fixture
async def kits(cluster_servers: Any, tmp_path: Path) -> AsyncIterator[list[Kit]]:
    """Two gateways, each with connections of its own to the Cluster."""
    cluster_servers.flush()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(ScriptedUpstream())
        kits = []
        for _ in range(2):
            store = await open_store(Redis(url=cluster_servers.url, timeout=5), tmp_path, wait_s=20)
            stack.push_async_callback(store.aclose)
            gateway = Gateway(config_of(upstream.url), data_dir=tmp_path, store=store)
            kits.append(Kit(await stack.enter_async_context(gateway), upstream))
        yield kits


def left(answer: Answer) -> dict[str, int]:
    """What the answer says is left of each limit."""
    items = (answer.header("ratelimit") or "").split(", ")
    return {item.split('"')[1]: int(item.split("r=")[1].split(";")[0]) for item in items}


async def asked(kits: list[Kit], times: int, path: str = "/api", **options: Any) -> Counter[int]:
    """Ask both gateways at once."""
    answers = await asyncio.gather(
        *(kits[number % 2].get(path, **options) for number in range(times))
    )
    return Counter(answer.status for answer in answers)


async def test_an_answer_tells_of_every_scope(kits: list[Kit]) -> None:
    answer = await kits[0].get("/api", key="acme-a", headers={"x-user": "ada"})
    assert answer.status == 200
    assert left(answer) == {
        "key": 29, "tenant": 39, "user": 24, "address": 44, "route": 47, "all": 49,
    }  # fmt: skip


@pytest.mark.parametrize(
    "options, name, admitted",
    [
        ({"headers": {"x-user": "ada"}}, "user", 25),
        ({"path": "/open", "key": None}, "address", 45),
    ],
)
async def test_two_gateways_admit_what_the_tightest_allows_and_no_more(
    kits: list[Kit], options: Any, name: str, admitted: int
) -> None:
    options = {"key": "acme-a"} | options
    answers = await asked(kits, 100, **options)
    assert answers == {200: admitted, 429: 100 - admitted}


async def test_what_the_tenants_own_limits_refuse_costs_those_outside_nothing(
    kits: list[Kit],
) -> None:
    """Pain point 15: a refusal that is charged all the same."""
    ada = {"x-user": "ada"}
    assert (await asked(kits, 60, key="acme-a", headers=ada))[200] == 25
    await asyncio.sleep(0.2)  # what is given back is not waited for
    bob = {"x-user": "bob"}
    answer = await kits[0].get("/api", key="other-a", headers=bob)
    assert left(answer) | {"key": 0, "tenant": 0, "user": 0} == {
        "key": 0, "tenant": 0, "user": 0, "address": 19, "route": 22, "all": 24,
    }  # fmt: skip
    answers = await asked(kits, 60, key="other-b", headers=bob)
    assert answers[200] <= 19
    assert answers[200] + answers[429] == 60


async def test_under_load_none_is_over_and_what_is_lost_comes_back(kits: list[Kit]) -> None:
    """What differs from one atomic call: a limit outside may refuse while others' requests, which
    will be refused, are being decided. It never admits too many, and forgets them at once after."""
    answers = await asyncio.gather(
        *(asked(kits, 60, key=key, headers={"x-user": "ada"}) for key in ("acme-a", "other-a"))
    )
    admitted = sum(answer[200] for answer in answers)
    assert admitted <= 45
    assert all(answer[200] <= 25 for answer in answers)
    assert all(answer[200] + answer[429] == 60 for answer in answers)
    await asyncio.sleep(0.2)  # what is given back is not waited for
    last = await kits[0].get("/api", key="other-b", headers={"x-user": "bob"})
    if admitted < 45:
        assert (last.status, left(last)["address"]) == (200, 45 - admitted - 1)
    else:
        assert (last.status, left(last)["address"]) == (429, 0)


async def test_what_those_outside_refuse_costs_the_tenant_nothing(kits: list[Kit]) -> None:
    assert (await asked(kits, 45, "/open", key=None))[200] == 45
    refused = await kits[0].get("/api", key="acme-a", headers={"x-user": "ada"})
    assert refused.status == 429
    elsewhere = await kits[0].get(
        "/api", key="acme-a", headers={"x-user": "ada"}, client="203.0.113.9"
    )
    assert elsewhere.status == 200
    assert left(elsewhere)["key"] == 29


async def test_a_lease_beside_scopes_outside_is_given_back(kits: list[Kit]) -> None:
    for _ in range(5):
        answer = await kits[0].get("/api", key="third-a")
        assert answer.status == 200
        assert (await kits[1].get("/api", key="third-a")).status == 200
