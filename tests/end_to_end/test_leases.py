"""A concurrency lease ends with its exchange, in whatever way that ends, through both doors.

Pain point 4: a slot that is never given back after a cancel; pain point 5: a client that goes while
the upstream works on for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.edge.conftest import Client, native_door, uvicorn_with
from tidegate.config import Config
from tidegate.edge import AsgiDoor
from tidegate.gateway import Gateway
from tidegate.http import Headers, Outcome, Request
from tidegate.store import Store
from tidegate.testing.scripted_upstream import Act, ScriptedUpstream

HEAD = b"GET /api HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\n\r\n"
TO_RAISING = HEAD.replace(b"/api", b"/raising")
TO_REPLACING = HEAD.replace(b"/api", b"/replacing")
OVERSIZE = (
    b"POST /small HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\nContent-Length: 9\r\n\r\nmuch more"
)
UPLOAD = (
    b"POST /api HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\nContent-Length: 200000\r\n\r\nbegun"
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n"

RAISING = """
def build():
    async def policy(request, call_next):
        response = await call_next(request)
        raise RuntimeError("after the answer")
    return policy
"""
REPLACING = """
from tidegate.policies import Response
def build():
    async def policy(request, call_next):
        await call_next(request)
        return Response(204)
    return policy
"""


def config_of(target: str, lease: str = "30s") -> Config:
    policies = {"raising": "raising.py", "replacing": "replacing.py"}
    routes: list[dict[str, Any]] = [
        {"name": name, "paths": [f"/{name}"], "policies": [{"use": use, "before": before}]}
        for before in ("limit",)
        for name, use in policies.items()
    ]
    routes += [
        {"name": "inner", "paths": ["/inner"], "policies": [{"use": "raising.py"}]},
        {"name": "small", "paths": ["/small"], "body_bytes": 4},
        {"name": "api", "paths": ["/api"]},
    ]
    limit = {"name": "parallel", "concurrency": 1, "lease": lease}
    return Config.model_validate(
        {
            "version": 1,
            "redis": {"timeout": "5s"},
            "plans": {"plan": {"limits": [limit]}},
            "tenants": [
                {"name": "acme", "plan": "plan", "keys": [{"name": "key", "value": "secret"}]}
            ],
            "services": [{"name": "test", "targets": [target], "routes": routes}],
        }
    )


Opened = Callable[..., Awaitable[SimpleNamespace]]


@pytest.fixture(params=["native", "asgi"])
async def opened(
    request: pytest.FixtureRequest, valkey: Store, tmp_path: Path
) -> AsyncIterator[Opened]:
    """`await opened(lease="30s")`: a gateway behind a door, with its upstream and store."""
    (tmp_path / "raising.py").write_text(RAISING)
    (tmp_path / "replacing.py").write_text(REPLACING)
    async with AsyncExitStack() as stack:

        async def door_of(lease: str = "30s") -> SimpleNamespace:
            upstream = await stack.enter_async_context(ScriptedUpstream())
            config = config_of(upstream.url, lease)
            gateway = Gateway(config, data_dir=Path(), directory=tmp_path, store=valkey)
            await stack.enter_async_context(gateway)
            if request.param == "native":
                port = (await stack.enter_async_context(native_door(gateway))).port
            else:
                app = AsgiDoor(gateway)
                port = await stack.enter_async_context(uvicorn_with(app, "httptools"))
            return SimpleNamespace(gateway=gateway, upstream=upstream, store=valkey, port=port)

        yield door_of


@pytest.fixture
async def door(opened: Opened) -> SimpleNamespace:
    return await opened()


async def held(door: Any) -> int:
    """How many leases the store holds, and the keeper the same: none that only one knows of."""
    found = 0
    for key in await door.store.execute("KEYS", "tg:limits:*"):
        if await door.store.execute("TYPE", key) == b"zset":
            found += await door.store.execute("ZCARD", key)
    return found


async def until_held(door: Any, count: int) -> None:
    async with asyncio.timeout(10):
        while await held(door) != count or door.gateway.parts.leases.count != count:
            pass


async def asked(door: Any, sent: bytes = HEAD) -> Client:
    client = await Client.connect(door.port)
    await client.send(sent)
    return client


async def is_served(door: Any) -> None:
    """Within ten seconds, of which a lease that is not given back would last thirty."""
    door.upstream.script = [(200, {}, b"ok")]
    async with asyncio.timeout(10):
        status = 0
        while status != 200:
            client = await asked(door)
            status = (await client.answer()).status
            client.close()


async def test_while_one_runs_another_is_refused_and_then_admitted(door: Any):
    door.upstream.script = [[STREAM, b"x" * 100_000, Act.STALL]]
    first = await asked(door)
    await until_held(door, 1)
    second = await asked(door)
    answer = await second.answer()
    assert answer.status == 429
    assert answer.get_all(b"retry-after")
    second.close()
    first.reset()
    await until_held(door, 0)
    await is_served(door)
    await until_held(door, 0)


@pytest.mark.parametrize(
    "sent, script, status",
    [
        pytest.param(HEAD, [(200, {}, b"whole")], 200, id="answered-whole"),
        pytest.param(HEAD, [(200, {}, b"x" * 500_000)], 200, id="streamed-to-the-end"),
        pytest.param(HEAD, [[Act.CLOSE]], 502, id="upstream-cut-before-the-head"),
        pytest.param(HEAD, [[b"nonsense\r\n\r\n"]], 502, id="upstream-speaks-nonsense"),
        pytest.param(OVERSIZE, [], 413, id="refused-behind-the-limit"),
        pytest.param(TO_RAISING, [(200, {}, b"")], 500, id="outer-policy-raises-whole"),
        pytest.param(TO_RAISING, [(200, {}, b"x" * 500_000)], 500, id="outer-policy-raises"),
        pytest.param(TO_REPLACING, [(200, {}, b"x" * 500_000)], 204, id="outer-policy-replaces"),
        pytest.param(
            HEAD.replace(b"/api", b"/inner"),
            [(200, {}, b"x" * 500_000)],
            500,
            id="inner-policy-raises",
        ),
    ],
)
async def test_an_answer_of_any_kind_ends_the_lease(
    door: Any, sent: bytes, script: Any, status: int
):
    door.upstream.script = script
    client = await asked(door, sent)
    assert (await client.answer()).status == status
    client.close()
    await until_held(door, 0)
    await is_served(door)


@pytest.mark.parametrize(
    "sent, script, is_there",
    [
        pytest.param(HEAD, [[Act.STALL]], lambda r: r.is_complete, id="awaiting-the-head"),
        pytest.param(
            HEAD, [[STREAM, b"begun", Act.STALL]], lambda r: r.is_complete, id="in-the-body"
        ),
        pytest.param(UPLOAD, [(200, {}, b"")], lambda r: r.body_bytes == 5, id="in-the-upload"),
    ],
)
async def test_a_client_that_goes_ends_its_lease(
    door: Any, eventually: Any, sent: bytes, script: Any, is_there: Any
):
    door.upstream.script = script
    client = await asked(door, sent)
    await eventually(lambda: any(is_there(request) for request in door.upstream.requests))
    await until_held(door, 1)
    client.reset()
    await until_held(door, 0)
    await eventually(lambda: door.upstream.connections_open == 0)
    await is_served(door)


async def test_an_upstream_that_fails_in_the_body_ends_the_lease(door: Any):
    door.upstream.script = [[STREAM, b"begun", Act.RESET]]
    client = await asked(door)
    await client.rest()
    client.close()
    await until_held(door, 0)
    await is_served(door)


async def test_a_client_that_goes_while_the_limits_are_decided_holds_nothing(door: Any):
    for _ in range(20):
        client = await asked(door)
        client.reset()
    await until_held(door, 0)
    await is_served(door)


async def test_a_stream_holds_its_place_for_longer_than_a_lease_lasts(opened: Opened):
    door, ended = await opened(lease="1s"), asyncio.Event()
    head = STREAM.replace(b"200000", b"10")
    door.upstream.script = [[head, b"begun", ended, b"ended"]]
    first = await asked(door)
    await until_held(door, 1)
    for _ in range(5):
        await asyncio.sleep(0.4)
        second = await asked(door)
        assert (await second.answer()).status == 429
        second.close()
    ended.set()
    assert (await first.answer()).body == b"begunended"
    first.close()
    await until_held(door, 0)


async def test_after_a_store_that_lost_its_data_what_runs_is_counted_again(opened: Opened):
    door = await opened(lease="1s")
    door.upstream.script = [[STREAM, b"begun", Act.STALL]]
    client = await asked(door)
    await until_held(door, 1)
    await door.store.execute("FLUSHALL")
    await until_held(door, 1)
    client.reset()
    await until_held(door, 0)


async def test_cancelled_at_any_turn_of_the_loop_nothing_is_held(door: Any):
    """Also where the decision is there and nobody has looked at it yet."""
    for turns in (*range(1, 12), 20, 50, 100, 200):
        door.upstream.script = [(200, {}, b"ok")]
        headers = Headers([(b"x-api-key", b"secret")])
        request = Request[Any]("GET", b"/api", headers, host=b"a")
        asking = asyncio.ensure_future(door.gateway.handle(request))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        if not asking.cancelled():
            await asking.result().aclose(Outcome.ABORTED)
        await until_held(door, 0)


async def test_cancelled_when_the_decision_is_there_but_unread(door: Any):
    """The one moment in which neither the question nor the answer knows that nobody waits."""
    headers = Headers([(b"x-api-key", b"secret")])
    request = Request[Any]("GET", b"/api", headers, host=b"a")
    answer = door.gateway.handle(request)
    asking = asyncio.ensure_future(answer)
    future = request.context.pending_limits
    future.add_done_callback(lambda _: asking.cancel())
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert not future.cancelled()
    await until_held(door, 0)


async def test_a_gateway_that_closes_gives_back_what_is_still_held(valkey: Store, tmp_path: Path):
    (tmp_path / "raising.py").write_text(RAISING)
    (tmp_path / "replacing.py").write_text(REPLACING)
    async with ScriptedUpstream() as upstream:
        upstream.script = [[STREAM, b"begun", Act.STALL]]
        config = config_of(upstream.url)
        gateway = Gateway(config, data_dir=Path(), directory=tmp_path, store=valkey)
        async with gateway:
            headers = Headers([(b"x-api-key", b"secret")])
            request = Request[Any]("GET", b"/api", headers, host=b"a")
            response = await gateway.handle(request)
            door = SimpleNamespace(store=valkey, gateway=gateway)
            await until_held(door, 1)
        assert await held(door) == 0
        await response.aclose(Outcome.ABORTED)
