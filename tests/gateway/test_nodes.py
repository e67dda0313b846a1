import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate.config import Config, Redis
from tidegate.gateway import Node, alive, announced, fingerprint
from tidegate.gateway.nodes import ALIVE_S
from tidegate.store import Store, open_store


def config(value: str = "secret", rate: str = "5/s", url: str = "embedded") -> Config:
    return Config.model_validate(
        {
            "version": 1,
            "redis": {"url": url},
            "plans": {"free": {"limits": [{"name": "steady", "rate": rate}]}},
            "tenants": [
                {"name": "demo", "plan": "free", "keys": [{"name": "k", "value": value}]},
            ],
            "services": [
                {"name": "s", "targets": ["http://127.0.0.1:9"], "routes": [{"name": "r"}]}
            ],
        }
    )


async def until(store: Store, claim: Callable[[list[Node]], bool]) -> list[Node]:
    async with asyncio.timeout(5.0):
        while not claim(nodes := await alive(store)):  # noqa: ASYNC110 the store sets no event
            await asyncio.sleep(0.01)
    return nodes


async def test_who_runs_is_listed_and_who_ended_is_not(valkey: Store) -> None:
    one, two = (Node.here(role, "0.1.0", config()) for role in ("worker", "control"))
    async with announced(valkey, one):
        async with announced(valkey, two):
            assert await until(valkey, lambda nodes: len(nodes) == 2) == [two, one]
        assert await alive(valkey) == [one]
    assert await alive(valkey) == []


async def test_each_beat_tells_how_many_serve(valkey: Store, eventually: Any) -> None:
    one, two, control = (
        Node.here(role, "0.1.0", config()) for role in ("worker", "asgi", "control")
    )
    first: list[int] = []
    second: list[int] = []
    async with announced(valkey, one, first.append):
        await until(valkey, lambda nodes: len(nodes) == 1)
        async with announced(valkey, control, second.append), announced(valkey, two, second.append):
            await until(valkey, lambda nodes: len(nodes) == 3)
            assert (first[-1], max(second)) == (1, 2)
            now = int((await valkey.execute("TIME"))[0])
            for name in ("beats", "serving"):
                await valkey.execute("ZADD", f"tg:{{nodes}}:{name}", now - ALIVE_S, "killed")
        async with announced(valkey, two, second.append):
            await until(valkey, lambda nodes: len(nodes) == 2)
            assert second[-1] == 2
            # Who came first hears of it before its next usual beat.
            await eventually(lambda: first[-1] == 2, 2.5)


async def test_who_was_killed_is_forgotten(valkey: Store) -> None:
    node = Node.here("worker", "0.1.0", config())
    async with announced(valkey, node):
        await until(valkey, lambda nodes: nodes == [node])
        now = int((await valkey.execute("TIME"))[0])
        await valkey.execute("ZADD", "tg:{nodes}:beats", now - ALIVE_S, "killed")
        await valkey.execute("HSET", "tg:{nodes}:words", "killed", "{}")
        assert await alive(valkey) == [node]
    assert await valkey.execute("HGETALL", "tg:{nodes}:words") == []


async def test_a_store_without_nodes_left_keeps_nothing(valkey: Store) -> None:
    node = Node.here("worker", "0.1.0", config())
    async with announced(valkey, node):
        await until(valkey, lambda nodes: nodes == [node])
        for name in ("tg:{nodes}:beats", "tg:{nodes}:words", "tg:{nodes}:serving"):
            assert 0 < await valkey.execute("TTL", name) <= ALIVE_S


async def test_a_store_that_is_away_stops_nobody(tmp_path: Path) -> None:
    away = f"unix://{tmp_path}/none.sock"
    store = await open_store(Redis(url=away), tmp_path, wait_s=0.01, require=False)
    async with announced(store, Node.here("worker", "0.1.0", config())):
        pass
    await store.aclose()


def test_a_fingerprint_tells_configurations_apart_by_what_they_do() -> None:
    same = fingerprint(config())
    assert fingerprint(config()) == same
    assert fingerprint(config(url="redis://:password@127.0.0.1:1")) == same
    assert len({same, fingerprint(config(value="other")), fingerprint(config(rate="6/s"))}) == 3
