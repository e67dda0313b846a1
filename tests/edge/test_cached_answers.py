"""Cached answers through both doors: small from memory, large in pieces, HEAD and 304 without."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.edge.conftest import Client
from tidegate.edge import AsgiDoor, NativeServer

LARGE = bytes(range(256)) * 3000
KEY = {"X-API-Key": "premium_user"}


@asynccontextmanager
async def served(kit: Any) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = NativeServer(kit.gateway)
    await server.start(listener)
    try:
        yield listener.getsockname()[1]
    finally:
        await server.drain(1)


@pytest.mark.parametrize("body", [b"hello", LARGE], ids=["small", "large"])
async def test_the_native_door(tidegate_kit: Any, body: bytes):
    kit = await tidegate_kit(route={"cache": {"default_ttl": 60}})
    kit.upstream.script = [(200, {"etag": '"a"'}, body)]
    request = b"%b /api/x HTTP/1.1\r\nHost: t\r\nX-API-Key: premium_user\r\n%b\r\n"
    async with served(kit) as port:
        client = await Client.connect(port)
        for expected in (b"MISS", b"HIT", b"HIT"):
            await client.send(request % (b"GET", b""))
            answer = await client.answer()
            assert (answer.get_all(b"x-cache"), answer.body == body) == ([expected], True)
        await client.send(request % (b"HEAD", b""))
        answer = await client.answer(is_head=True)
        assert answer.get_all(b"content-length") == [b"%d" % len(body)]
        await client.send(request % (b"GET", b'If-None-Match: "a"\r\n'))
        answer = await client.answer()
        assert (answer.status, answer.get_all(b"content-length")) == (304, [])
        client.writer.close()
    assert len(kit.upstream.requests) == 1


@pytest.mark.parametrize("body", [b"hello", LARGE], ids=["small", "large"])
async def test_the_asgi_door(tidegate_kit: Any, body: bytes):
    kit = await tidegate_kit(route={"cache": {"default_ttl": 60}})
    kit.upstream.script = [(200, {"etag": '"a"'}, body)]
    transport = httpx2.ASGITransport(app=AsgiDoor(kit.gateway))
    async with httpx2.AsyncClient(transport=transport, base_url="http://t", headers=KEY) as client:
        for expected in ("MISS", "HIT", "HIT"):
            answer = await client.get("/api/x")
            assert (answer.headers["x-cache"], answer.content == body) == (expected, True)
        answer = await client.head("/api/x")
        assert answer.headers["content-length"] == str(len(body))
        answer = await client.get("/api/x", headers={"If-None-Match": '"a"'})
        assert (answer.status_code, answer.content) == (304, b"")
    assert len(kit.upstream.requests) == 1
