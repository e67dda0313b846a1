"""The echo upstream over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tidegate.cli.echo_server import EchoServer
from tidegate.supervisor import open_listeners


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    listener = open_listeners("127.0.0.1", 0, 1)[0]
    async with EchoServer(listener.socket):
        yield listener.address[1]


async def said(port: int, sent: bytes) -> bytes:
    """Everything that is answered until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answered = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answered


def request(target: str, *fields: str, method: str = "GET", last: bool = True) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: echo", *fields]
    if last:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_it_tells_what_it_received(echo_port: int) -> None:
    answered = await said(
        echo_port, request("/a/b?c=d", "X-One: 1", "Content-Length: 5", method="POST") + b"12345"
    )
    told = json.loads(answered.partition(b"\r\n\r\n")[2])
    assert (told["method"], told["path"], told["query"]) == ("POST", "/a/b", "c=d")
    assert told["headers"]["x-one"] == "1"
    assert told["body_bytes"] == 5


async def test_pipelined_requests_are_answered_in_order(echo_port: int) -> None:
    sent = request("/delay/0.1", last=False) + request("/status/404", last=False) + request("/last")
    answered = await said(echo_port, sent)
    statuses = [line.split()[1] for line in answered.splitlines() if line.startswith(b"HTTP/")]
    assert statuses == [b"200", b"404", b"200"]
    assert answered.index(b"/delay/0.1") < answered.index(b"/status/404") < answered.index(b"/last")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_body_have_none(echo_port: int, status: int) -> None:
    answered = await said(echo_port, request(f"/status/{status}"))
    assert answered.startswith(f"HTTP/1.1 {status} ".encode())
    assert answered.endswith(b"\r\n\r\n")


async def test_a_stream_is_chunked_events(echo_port: int) -> None:
    answered = await said(echo_port, request("/api/stream?count=3&interval=0.01"))
    assert b"Transfer-Encoding: chunked" in answered
    assert b"Content-Type: text/event-stream" in answered
    assert answered.count(b"data: event ") == 3
    assert answered.endswith(b"0\r\n\r\n")


async def test_bytes_are_as_many_as_asked_for(echo_port: int) -> None:
    answered = await said(echo_port, request("/bytes/200000"))
    assert len(answered.partition(b"\r\n\r\n")[2]) == 200_000
    head_only = await said(echo_port, request("/bytes/200000", method="HEAD"))
    assert b"Content-Length: 200000" in head_only
    assert head_only.endswith(b"\r\n\r\n")


async def test_an_expectation_is_met_before_the_body_comes(echo_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo_port)
    writer.write(request("/", "Expect: 100-continue", "Content-Length: 2", method="PUT"))
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == (
        b"HTTP/1.1 100 Continue\r\n\r\n"
    )
    writer.write(b"ok")
    assert b'"body_bytes": 2' in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n"])
async def test_what_is_not_http_or_too_large_is_refused(echo_port: int, sent: bytes) -> None:
    assert (await said(echo_port, sent)).startswith(b"HTTP/1.1 400 ")
