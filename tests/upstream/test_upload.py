"""Request bodies that stream: framed anew, no faster than the upstream reads, stopped when due."""

import asyncio
import resource

import pytest

from tidegate.http import Outcome
from tidegate.http.errors import GatewayTimeout, PolicyFailed
from tidegate.testing.scripted_upstream import Act

MIB = 2**20
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Body:
    """Pieces with a count of how many were pulled; waits for `gate` before the last, if given."""

    def __init__(self, *pieces, gate=None, error=None):
        self.pieces = list(pieces)
        self.gate = gate
        self.error = error
        self.pulled = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.pulled == len(self.pieces):
            if self.error is not None:
                raise self.error
            raise StopAsyncIteration
        if self.gate is not None and self.pulled == len(self.pieces) - 1:
            await self.gate.wait()
        self.pulled += 1
        return self.pieces[self.pulled - 1]


async def test_a_sized_body_is_sent_as_it_is_and_the_connection_kept(serve, client, ask, counts):
    server = await serve(OK)
    upstream = client(server)
    for _ in range(2):
        await upstream.send(ask("POST", body=Body(b"ab", b"cd"), content_length=4))
    assert [request.body for request in server.requests] == [b"abcd"] * 2
    assert server.requests[0].get_all(b"content-length") == [b"4"]
    assert server.connections_opened == 1
    assert counts(upstream).idle == 1


async def test_a_body_of_unknown_length_goes_in_chunks(serve, client, ask, counts):
    server = await serve(OK)
    upstream = client(server)
    for _ in range(2):
        await upstream.send(ask("PUT", body=Body(b"ab", b"", b"cde")))
    assert [request.body for request in server.requests] == [b"abcde"] * 2
    assert server.requests[0].get_all(b"transfer-encoding") == [b"chunked"]
    assert server.connections_opened == 1


async def test_large_bytes_go_out_whole(serve, client, ask):
    server = await serve(OK, keeps_bodies=False)
    await client(server).send(ask("POST", body=bytes(3 * MIB)))
    assert server.requests[0].body_bytes == 3 * MIB


@pytest.mark.parametrize(
    ("body", "length"),
    [(Body(b"ab"), 3), (Body(b"ab", b"cd"), 3), (Body(), 1), (Body(b"ab", b"", b"c"), 3)],
    ids=["short", "long", "empty", "empty piece"],
)
async def test_a_body_that_is_not_as_long_as_announced_never_completes(
    body, length, serve, client, ask, counts, eventually
):
    server = await serve(OK)
    upstream = client(server)
    with pytest.raises(PolicyFailed, match=str(length)):
        await upstream.send(ask("POST", body=body, content_length=length))
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)
    assert not any(request.is_complete for request in server.requests)


@pytest.mark.parametrize("length", [None, 9])
async def test_what_the_body_raises_reaches_the_caller_and_cuts_the_request(
    length, serve, client, ask, counts, eventually
):
    server = await serve(OK)
    upstream = client(server)
    body = Body(b"ab", error=ConnectionAbortedError("the client went away"))
    with pytest.raises(ConnectionAbortedError, match="client"):
        await upstream.send(ask("POST", body=body, content_length=length))
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)
    assert not server.requests[0].is_complete


async def test_nothing_is_pulled_while_the_upstream_does_not_read(serve, client, ask, eventually):
    server = await serve(OK, keeps_bodies=False)
    server.body_gate.clear()
    body = Body(*[bytes(MIB)] * 32)
    sending = asyncio.create_task(client(server).send(ask("POST", body=body)))
    await eventually(lambda: body.pulled > 0)
    seen = -1
    while seen != body.pulled:
        seen = body.pulled
        await asyncio.sleep(0.1)
    assert body.pulled < 16
    server.body_gate.set()
    assert (await sending).status == 200
    assert server.requests[0].body_bytes == 32 * MIB


async def test_an_upstream_that_stops_reading_is_504(serve, client, ask, counts):
    server = await serve(OK)
    server.body_gate.clear()
    upstream = client(server, timeouts={"body_progress": 0.2})
    with pytest.raises(GatewayTimeout, match="go on reading"):
        await upstream.send(ask("POST", body=Body(*[bytes(MIB)] * 32)))
    assert counts(upstream).held == 0


async def test_large_bytes_that_are_not_read_are_504(serve, client, ask, counts):
    server = await serve(OK)
    server.body_gate.clear()
    upstream = client(server, timeouts={"first_byte": 0.2, "body_progress": 0.2})
    with pytest.raises(GatewayTimeout, match="go on reading"):
        await upstream.send(ask("POST", body=bytes(32 * MIB)))
    assert counts(upstream).held == 0


async def test_a_slow_client_is_not_the_upstreams_fault(serve, client, ask):
    server = await serve(OK)
    gate = asyncio.Event()
    upstream = client(server, timeouts={"first_byte": 0.1, "body_progress": 0.1})
    body = Body(b"ab", b"cd", gate=gate)
    sending = asyncio.create_task(upstream.send(ask("POST", body=body)))
    await asyncio.sleep(0.35)  # far beyond both bounds
    assert not sending.done()
    gate.set()
    assert (await sending).status == 200


async def test_after_the_upload_the_answer_is_due(serve, client, ask):
    server = await serve([Act.STALL])
    upstream = client(server, timeouts={"first_byte": 0.1})
    with pytest.raises(GatewayTimeout, match="did not answer"):
        await upstream.send(ask("POST", body=Body(b"ab")))


async def test_an_early_answer_is_delivered_and_the_upload_stopped(
    serve, client, ask, counts, eventually
):
    server = await serve(
        b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno", answers_early=True
    )
    upstream = client(server)
    body = Body(b"ab", b"cd", gate=asyncio.Event())  # a client that never sends the rest
    response = await upstream.send(ask("POST", body=body))
    assert (response.status, response.body) == (413, b"no")
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)
    assert not server.requests[0].is_complete
    assert body.pulled == 1


async def test_an_early_error_that_streams_stops_the_upload_too(
    serve, client, ask, counts, eventually
):
    gate = asyncio.Event()
    server = await serve(
        [b"HTTP/1.1 400 Bad\r\ncontent-length: 4\r\n\r\nno", gate, b"pe"], answers_early=True
    )
    upstream = client(server)
    response = await upstream.send(ask("POST", body=Body(b"ab", b"cd", gate=asyncio.Event())))
    gate.set()
    assert b"".join([piece async for piece in response.body]) == b"nope"
    await response.aclose(Outcome.COMPLETE)
    assert counts(upstream).held == 0


async def test_an_upload_goes_on_beside_an_answer_that_is_no_error(serve, client, ask, counts):
    gate, received = asyncio.Event(), asyncio.Event()

    async def echo(request):
        return [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", received, b"cd"]

    server = await serve(echo, answers_early=True)
    upstream = client(server)
    body = Body(b"ab", b"cd", gate=gate)
    response = await upstream.send(ask("POST", body=body, content_length=4))
    assert await anext(response.body) == b"ab"
    gate.set()
    while body.pulled < 2:  # noqa: ASYNC110 the upload is a task of its own
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    received.set()
    assert await anext(response.body) == b"cd"
    await response.aclose(Outcome.COMPLETE)
    assert counts(upstream).idle == 1


@pytest.mark.parametrize("stalled", ["client", "upstream"])
async def test_cancelled_during_an_upload_the_request_is_cut(
    stalled, serve, client, ask, counts, eventually
):
    server = await serve(OK, keeps_bodies=False)
    gate = asyncio.Event()
    if stalled == "upstream":
        server.body_gate.clear()
        gate.set()
    body = Body(*[bytes(MIB)] * 32, gate=gate)
    upstream = client(server)
    sending = asyncio.create_task(upstream.send(ask("POST", body=body)))
    await eventually(lambda: bool(server.requests) and body.pulled > 2)
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert counts(upstream).held == 0
    server.body_gate.set()
    await eventually(lambda: server.connections_open == 0)
    assert not server.requests[0].is_complete
    assert asyncio.all_tasks() - {asyncio.current_task()} == set()


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_memory_stays_flat_while_64_mib_are_uploaded(serve, client, ask):
    server = await serve(OK, keeps_bodies=False)
    piece = bytes(MIB)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await client(server).send(ask("POST", body=Body(*[piece] * 64), content_length=64 * MIB))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert server.requests[0].body_bytes == 64 * MIB
    assert grown_kib < 8 * 1024
