"""Answers that stream: as they come, no faster than they are read, and cut when nobody reads."""

import asyncio
import resource

import pytest

from tidegate.http import Outcome
from tidegate.http.errors import BadGateway
from tidegate.testing.scripted_upstream import Act

MIB = 2**20


async def test_each_piece_comes_as_it_was_sent(serve, client, ask, read, counts):
    first, second = asyncio.Event(), asyncio.Event()
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    server = await serve([head, first, b"6\r\ndata:1\r\n", second, b"6\r\ndata:2\r\n0\r\n\r\n"])
    upstream = client(server)
    response = await upstream.send(ask())  # the head alone
    assert (response.status, response.content_length) == (200, None)
    first.set()
    assert await anext(response.body) == b"data:1"
    second.set()
    assert await anext(response.body) == b"data:2"
    with pytest.raises(StopAsyncIteration):
        await anext(response.body)
    await response.aclose(Outcome.COMPLETE)
    assert counts(upstream).idle == 1


async def test_a_sized_body_announces_its_length(serve, client, ask, read):
    gate = asyncio.Event()
    server = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", gate, b"cd"])
    response = await client(server).send(ask())
    assert response.content_length == 4
    gate.set()
    assert await read(response) == b"abcd"


async def test_the_connection_is_back_as_soon_as_the_last_byte_is_there(
    serve, client, ask, counts, eventually
):
    gate = asyncio.Event()
    server = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", gate, b"cd"])
    upstream = client(server)
    response = await upstream.send(ask())
    gate.set()
    await eventually(lambda: counts(upstream).idle == 1)
    await response.aclose(Outcome.ABORTED)  # unread, yet the connection is no longer its own
    assert counts(upstream).idle == 1


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_a_body_nobody_reads_on_is_cut_upstream(
    outcome, serve, client, ask, counts, eventually
):
    server = await serve([b"HTTP/1.1 200 OK\r\n\r\nab", Act.STALL])
    upstream = client(server)
    response = await upstream.send(ask())
    await response.aclose(outcome)
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)


async def test_cancelled_while_pulling_the_release_still_cuts(
    serve, client, ask, counts, eventually
):
    server = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Act.STALL])
    upstream = client(server)
    response = await upstream.send(ask())
    pulling = asyncio.ensure_future(anext(response.body))
    await asyncio.sleep(0)
    pulling.cancel()
    await asyncio.wait([pulling])
    assert counts(upstream).held == 1
    await response.aclose(Outcome.ABORTED)
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)


async def test_what_came_before_the_cut_is_given_then_the_error(serve, client, ask):
    gate = asyncio.Event()
    server = await serve(
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", gate, b"cd", Act.CLOSE]
    )
    response = await client(server).send(ask())
    gate.set()
    got = b""
    while len(got) < 4:
        got += await anext(response.body)
    assert got == b"abcd"
    for _ in range(2):
        with pytest.raises(BadGateway, match="test is not usable: it is incomplete"):
            await anext(response.body)


async def test_a_slow_reader_holds_the_upstream_back_and_is_not_timed_out(
    serve, client, ask, read, counts
):
    sent = 0

    def pieces():
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield bytes(MIB)

    server = await serve(lambda request: Lazy(pieces, 64 * MIB))
    upstream = client(server, timeouts={"body_progress": 0.15})
    response = await upstream.send(ask())
    await anext(response.body)
    await asyncio.sleep(0.4)  # beyond the bound on progress, but it is the reader that is slow
    assert sent < 32  # the rest waits in the upstream: kernel buffers are full
    assert len(await read(response)) > 60 * MIB
    assert sent == 64
    assert counts(upstream).idle == 1


class Lazy:
    """Steps made when they are sent, so that counting them counts what was sent."""

    def __init__(self, pieces, size):
        self.pieces = pieces
        self.size = size

    def __iter__(self):
        yield b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self.size
        yield from self.pieces()


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_memory_stays_flat_while_64_mib_stream(serve, client, ask):
    piece = bytes(MIB)
    server = await serve(lambda request: Lazy(lambda: (piece for _ in range(64)), 64 * MIB))
    upstream = client(server)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = await upstream.send(ask())
    size = 0
    async for got in response.body:
        size += len(got)
    await response.aclose(Outcome.COMPLETE)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert size == 64 * MIB
    assert grown_kib < 8 * 1024  # both ends live in this process
