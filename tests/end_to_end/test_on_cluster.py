"""All that a gateway keeps in its store, on a Cluster of real servers: nothing needs two hash slots
at once, and what one gateway writes another finds."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Cluster
from tidegate.cli.checks import store_found
from tidegate.config import Config, Redis, load
from tidegate.gateway import Gateway
from tidegate.gateway.limit_resets import reset_shared
from tidegate.gateway.nodes import Node, alive, announced
from tidegate.gateway.purge import purge
from tidegate.identity import Repository
from tidegate.identity.errors import ObjectInUse, ObjectNotFound
from tidegate.identity.key_format import new_key
from tidegate.store import Store, open_store
from tidegate.telemetry.decisions import recent_decisions
from tidegate.telemetry.usage import read_usage
from tidegate.testing import Kit, open_kit
from tidegate.testing.scripted_upstream import ScriptedUpstream

Eventually = Callable[..., Awaitable[None]]


CONFIG = """\
version: 1
redis: {timeout: 2s}
listen: {auth_failures: 3/m}
limits:
  - {name: all, rate: 100/h, burst: 100, per: global}
plans:
  pro:
    limits:
      - {name: own, rate: 1/h, burst: 4}
      - {name: shared, rate: 1/h, burst: 6, per: tenant}
      - {name: home, rate: 1/h, burst: 5, per: address}
tenants:
  - {name: acme, plan: pro, keys: [{name: a, value: key_a}, {name: b, value: key_b}]}
services:
  - name: test
    targets: ["${UPSTREAM}"]
    routes:
      - {name: limited, paths: [/limited]}
      - {name: open, paths: [/open], auth: none, cache: 60s}
"""


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as opened:
        yield opened


@pytest.fixture
def config(upstream: ScriptedUpstream, tmp_path: Path) -> Config:
    (tmp_path / "t.yaml").write_text(CONFIG)
    return load(tmp_path / "t.yaml", {"UPSTREAM": upstream.url})


@pytest.fixture
async def kit(cluster: Store, config: Config) -> AsyncIterator[Kit]:
    async with open_kit(cluster, config=config) as opened:
        yield opened


async def _statuses(kit: Kit, count: int, **options: Any) -> list[int]:
    return [(await kit.get("/limited", **options)).status for _ in range(count)]


async def test_keys_tenants_and_plans_live_their_whole_life(
    cluster: Store, cluster_servers: Cluster, config: Config
) -> None:
    repository = Repository(config, cluster)
    await repository.plans.put("gold", config.plans["pro"].limits)
    await repository.tenants.put("shop", "gold")
    with pytest.raises(ObjectInUse):
        await repository.plans.delete("gold")
    created = await repository.create_key("shop", "ci")
    assert not created.durable  # nothing is on disk there
    rotated = await repository.rotate_key(created.stored.key_id, 60)
    renamed = await repository.rename_key(created.stored.key_id, "build")
    assert (renamed.name, rotated.stored.key_id) == ("build", created.stored.key_id)
    listed = await repository.list_keys(tenant="shop")
    assert [key.name for key in listed.items] == ["build"]
    await repository.revoke_key(created.stored.key_id)
    await repository.create_key("shop", "other")
    assert not await repository.delete_tenant("shop")
    with pytest.raises(ObjectNotFound):
        await repository.tenants.get("shop")
    await repository.plans.delete("gold")
    left = {key for one in cluster_servers.primaries for key in one.client.scan_iter()}
    assert {key for key in left if "durable" not in key} == {"tg:{identity}:revisions"}


async def test_a_key_revoked_by_one_gateway_opens_nothing_at_another(
    kit: Kit, config: Config, cluster_servers: Cluster
) -> None:
    """Pain point 17: within a second, whichever server has it."""
    there = Redis(url=cluster_servers.url, timeout=2)
    other = await open_store(there, Path("/nowhere"), wait_s=20)
    created = await Repository(config, other).create_key("acme", "ci")
    assert await _statuses(kit, 2, key=created.key) == [200, 200]
    await Repository(config, other).revoke_key(created.stored.key_id)
    async with asyncio.timeout(1):
        while await _statuses(kit, 1, key=created.key) != [401]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await other.aclose()


async def test_limits_of_several_slots_hold_and_are_forgotten(kit: Kit) -> None:
    """Pain points 1 and 3."""
    here, elsewhere = {"client": "192.0.2.1"}, {"client": "192.0.2.2"}
    assert await _statuses(kit, 5, key="key_a", **here) == [200] * 4 + [429]
    assert await _statuses(kit, 2, key="key_b", **here) == [200, 429]
    assert b'"home"' in (await kit.get("/limited", key="key_b", **here)).body
    assert await _statuses(kit, 2, key="key_b", **elsewhere) == [200, 429]
    assert b'"shared"' in (await kit.get("/limited", key="key_b", **elsewhere)).body
    assert await kit.gateway.parts.limiter.reset("acme") == 3
    assert await _statuses(kit, 1, key="key_b", **elsewhere) == [200]


async def test_what_is_counted_over_all_tenants_is_reset_on_the_server_that_has_it(
    kit: Kit, config: Config
) -> None:
    limiter = kit.gateway.parts.limiter

    async def left(client: str) -> list[str]:
        told = (await kit.get("/limited", key="key_a", client=client)).header("ratelimit") or ""
        return sorted(one.partition(";t=")[0] for one in told.split(", "))

    for client in ("192.0.2.1", "2001:db8::1"):  # they have their slots on different servers
        await limiter.reset("acme")
        assert await left(client) == ['"all";r=99', '"home";r=4', '"own";r=3', '"shared";r=5']
        assert await reset_shared(limiter, config, "global") == 1
        assert await reset_shared(limiter, config, "address", "192.0.2.2") == 0
        assert await reset_shared(limiter, config, "address", client) == 1
        assert await left(client) == ['"all";r=99', '"home";r=4', '"own";r=2', '"shared";r=4']
        assert await reset_shared(limiter, config, "global") == 1


async def test_failed_keys_of_an_address_are_counted(kit: Kit) -> None:
    statuses = [await _statuses(kit, 1, key=new_key()) for _ in range(5)]
    assert statuses == [[401]] * 3 + [[429]] * 2


async def test_answers_are_cached_and_purged(kit: Kit, upstream: ScriptedUpstream) -> None:
    large = b"x" * 200_000  # in pieces, apart from its entry
    upstream.script = [(200, {"cache-control": "public"}, large)]

    async def cached() -> str | None:
        answer = await kit.get("/open?a", key=None)
        assert answer.body == large
        return answer.header("x-cache")

    assert [await cached(), await cached()] == ["MISS", "HIT"]
    await purge(kit.gateway, urls=["http://gateway.test/open?a"])
    assert [await cached(), await cached()] == ["MISS", "HIT"]
    await purge(kit.gateway)
    assert await cached() == "MISS"


async def test_usage_decisions_and_nodes_are_told(
    cluster: Store, config: Config, eventually: Eventually
) -> None:
    minute = int(time.time()) // 60
    async with open_kit(cluster, config=config) as kit:
        await _statuses(kit, 5, key="key_a")
    rows = await read_usage(cluster, "acme", minute, minute + 1)
    assert sum(row.requests for row in rows) == 5
    assert sum(row.refused for row in rows) == 1
    verdicts = [one["verdict"] async for one in recent_decisions(cluster, 10)]
    assert "refused" in verdicts
    node = Node.here("worker", "1", config)
    serving: list[int] = []
    async with announced(cluster, node, serving.append):
        await eventually(lambda: bool(serving))
        assert [one.id for one in await alive(cluster)] == [node.id]
    assert await alive(cluster) == []


async def test_a_gateway_and_its_doctor_open_it_by_the_url(
    cluster_servers: Cluster, config: Config, tmp_path: Path
) -> None:
    there = Redis(url=cluster_servers.url, timeout=2)
    async with Gateway(config.model_copy(update={"redis": there}), data_dir=tmp_path) as gateway:
        assert gateway.store.is_cluster
    found = await store_found(there, tmp_path)
    assert "Cluster: 3 primaries, 3 replicas" in found[0].text
