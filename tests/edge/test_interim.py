"""1xx of an upstream on their way to the client: native door, real gateway, real sockets."""

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from tests.edge.conftest import config_with, native_door
from tidegate.config.schema import Redis
from tidegate.gateway import Gateway
from tidegate.store import open_store
from tidegate.testing.scripted_upstream import Act, ScriptedUpstream

HINTS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-b\r\nX-B: 1\r\n\r\n"
)
FORWARDED = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nvia: 1.1 tidegate\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def request(method: bytes = b"GET", version: bytes = b"1.1", fields: bytes = b"") -> bytes:
    return b"%b /x HTTP/%b\r\nHost: a\r\n%b\r\n" % (method, version, fields)


@pytest.fixture
async def gateway(valkey_dir):
    async with AsyncExitStack() as opened:
        store = await open_store(Redis(), valkey_dir, wait_s=20)
        opened.push_async_callback(store.aclose)
        upstream = await opened.enter_async_context(ScriptedUpstream())
        gateway = Gateway(config_with({}, upstream.url), data_dir=valkey_dir, store=store)
        await opened.enter_async_context(gateway)
        server = await opened.enter_async_context(native_door(gateway))
        yield SimpleNamespace(port=server.port, upstream=upstream)


# Fields that the rules for forwarded requests must look at take another way to the upstream.
@pytest.mark.parametrize("fields", [b"", b"X-Forwarded-For: 192.0.2.1\r\n"])
async def test_an_early_hint_arrives_before_the_answer_is_made(gateway, connect, fields):
    client = await connect(gateway.port)
    for _ in range(2):
        gate = asyncio.Event()
        gateway.upstream.script = [[HINTS, gate, OK + b"hi"]]
        await client.send(request(fields=fields))
        async with asyncio.timeout(5):
            assert await client.reader.readuntil(b"\r\n\r\n") == FORWARDED
        gate.set()
        answer = await client.answer()
        assert (answer.status, answer.interim, answer.body) == (200, [], b"hi")


async def test_a_hint_does_not_speak_for_the_gateway(gateway, connect):
    forged = b"X-Request-ID: forged\r\nX-RateLimit-Remaining: 999\r\nTidegate-Debug: {}\r\n"
    hints = HINTS.replace(b"Link", forged + b"Link")
    client = await connect(gateway.port)
    gateway.upstream.script = [hints + OK + b"hi"]
    await client.send(request())
    async with asyncio.timeout(5):
        assert await client.reader.readuntil(b"\r\n\r\n") == FORWARDED


async def test_several_arrive_in_their_order_but_never_100(gateway, connect):
    others = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n"
    gateway.upstream.script = [HINTS + others + HINTS + OK + b"hi"]
    client = await connect(gateway.port)
    await client.send(request())
    answer = await client.answer()
    assert (answer.status, answer.interim) == (200, [103, 102, 199, 103])


async def test_a_client_of_http_1_0_gets_the_answer_alone(gateway, connect):
    gateway.upstream.script = [HINTS + OK + b"hi"]
    client = await connect(gateway.port)
    await client.send(request(version=b"1.0"))
    assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


async def test_head_gets_them_as_well(gateway, connect):
    gateway.upstream.script = [HINTS + OK]
    client = await connect(gateway.port)
    for _ in range(2):
        await client.send(request(b"HEAD"))
        answer = await client.answer(is_head=True)
        assert (answer.status, answer.interim) == (200, [103])


async def test_an_upstream_that_dies_after_a_hint_is_a_502(gateway, connect):
    gateway.upstream.script = [[HINTS, Act.CLOSE]]
    client = await connect(gateway.port)
    await client.send(request())
    answer = await client.answer()
    assert (answer.status, answer.interim) == (502, [103])


async def test_101_is_never_passed_on(gateway, connect):
    gateway.upstream.script = [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"]
    client = await connect(gateway.port)
    await client.send(request())
    answer = await client.answer()
    assert (answer.status, answer.interim) == (502, [])
