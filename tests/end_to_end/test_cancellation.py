"""A client that goes away, or a task that is cancelled, at each await of the whole chain that holds
something: it is given back, and the next request is served as if nothing had been."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.edge.conftest import Client, native_door, uvicorn_with
from tidegate.config import Config
from tidegate.edge import AsgiDoor
from tidegate.gateway import Gateway
from tidegate.http import Headers, Request
from tidegate.identity import Repository
from tidegate.store import EmbeddedServer, Store
from tidegate.testing.scripted_upstream import Act, ScriptedUpstream

HEAD = b"GET /api HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\n\r\n"
UPLOAD = (
    b"POST /api HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\nContent-Length: 200000\r\n\r\nbegun"
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n"


def config_of(target: str) -> Config:
    """One connection to the upstream, so that one that is not given back is missed."""
    return Config.model_validate(
        {
            "version": 1,
            "redis": {"timeout": "5s"},
            "plans": {"plan": {"limits": [{"name": "steady", "rate": "1/h", "burst": 100}]}},
            "tenants": [
                {"name": "acme", "plan": "plan", "keys": [{"name": "key", "value": "secret"}]},
                {"name": "other", "plan": "plan", "keys": [{"name": "key", "value": "second"}]},
            ],
            "services": [
                {
                    "name": "test",
                    "targets": [target],
                    "pool": {"connections": 1, "waiting": 1},
                    "routes": [{"name": "test", "paths": ["/api"]}],
                }
            ],
        }
    )


@pytest.fixture
async def opened(valkey: Store) -> AsyncIterator[SimpleNamespace]:
    async with ScriptedUpstream() as upstream:
        gateway = Gateway(config_of(upstream.url), data_dir=Path(), store=valkey)
        async with gateway:
            yield SimpleNamespace(gateway=gateway, upstream=upstream, store=valkey)


@pytest.fixture(params=["native", "asgi"])
async def door(request: pytest.FixtureRequest, opened: Any) -> AsyncIterator[SimpleNamespace]:
    async with AsyncExitStack() as stack:
        if request.param == "native":
            port = (await stack.enter_async_context(native_door(opened.gateway))).port
        else:
            app = AsgiDoor(opened.gateway)
            port = await stack.enter_async_context(uvicorn_with(app, "httptools"))
        opened.port = port
        yield opened


def counts(gateway: Gateway) -> Any:
    (found,) = gateway.snapshot.upstreams[0].counts.values()
    return found


async def is_served(door: Any) -> None:
    door.upstream.script = [(200, {}, b"ok")]
    client = await Client.connect(door.port)
    await client.send(HEAD)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"ok")
    client.close()


@pytest.mark.parametrize(
    "sent, script, is_there",
    [
        pytest.param(HEAD, [[Act.STALL]], lambda r: r.is_complete, id="awaiting-the-head"),
        pytest.param(
            HEAD, [[STREAM_HEAD, b"begun", Act.STALL]], lambda r: r.is_complete, id="in-the-body"
        ),
        pytest.param(UPLOAD, [(200, {}, b"")], lambda r: r.body_bytes == 5, id="in-the-upload"),
    ],
)
async def test_a_client_that_goes_gives_the_upstream_connection_back(
    door: Any, eventually: Any, sent: bytes, script: Any, is_there: Any
) -> None:
    door.upstream.script = script
    client = await Client.connect(door.port)
    await client.send(sent)
    await eventually(lambda: any(is_there(request) for request in door.upstream.requests))
    client.reset()
    await eventually(lambda: counts(door.gateway).held == 0)
    await eventually(lambda: door.upstream.connections_open == 0)
    await is_served(door)


async def test_a_client_that_goes_leaves_the_queue_for_a_connection(
    door: Any, eventually: Any
) -> None:
    door.upstream.script = [[Act.STALL]]
    first, second = await Client.connect(door.port), await Client.connect(door.port)
    await first.send(HEAD)
    await eventually(lambda: len(door.upstream.requests) == 1)
    await second.send(HEAD)
    await eventually(lambda: counts(door.gateway).waiting == 1)
    second.reset()
    await eventually(lambda: counts(door.gateway).waiting == 0)
    first.reset()
    await eventually(lambda: counts(door.gateway).held == 0)
    assert len(door.upstream.requests) == 1
    await is_served(door)


def request_with(key: str) -> Request[Any]:
    return Request("GET", b"/api", Headers([(b"x-api-key", key.encode())]), host=b"a")


async def remaining(gateway: Gateway, key: str) -> bytes | None:
    response = await gateway.handle(request_with(key))
    assert response.own is not None
    return dict(response.own.own_fields()).get(b"x-ratelimit-remaining")


async def test_cancelled_while_the_limits_are_decided_the_next_gets_its_own_decision(
    opened: Any,
) -> None:
    assert await remaining(opened.gateway, "secret") == b"99"
    cancelled = asyncio.create_task(opened.gateway.handle(request_with("secret")))
    following = asyncio.create_task(remaining(opened.gateway, "second"))
    await asyncio.sleep(0)  # both questions are asked, in this order
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    assert await following == b"99"
    assert await remaining(opened.gateway, "secret") == b"97"  # what was asked was spent
    assert len(opened.upstream.requests) == 3


async def test_cancelled_while_its_key_is_read_the_next_with_that_key_is_known(
    opened: Any,
) -> None:
    made = await Repository(opened.gateway.config, opened.store).create_key("acme", "made")
    cancelled = asyncio.create_task(opened.gateway.handle(request_with(made.key)))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    assert await remaining(opened.gateway, made.key) == b"99"
    assert len(opened.upstream.requests) == 1


async def test_an_opening_that_is_cancelled_leaves_neither_task_nor_share_in_the_store(
    short_dir: Path, eventually: Any
) -> None:
    config = config_of("http://127.0.0.1:9")
    tasks = asyncio.all_tasks()
    for turns in (0, 1, 2, 3, 5, 8, 13, 50, 200, 2000):
        gateway = Gateway(config, data_dir=short_dir / "data")
        opening = asyncio.create_task(gateway.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await gateway.__aexit__(None, None, None)
        assert asyncio.all_tasks() == tasks
    socket_path = EmbeddedServer(short_dir / "data").socket_path
    await eventually(lambda: not socket_path.exists())
