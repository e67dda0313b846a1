"""Sending: what comes back, what is tried again, and how long anything may take."""

import asyncio
import gc
import socket
from contextlib import ExitStack

import pytest

from tidegate.http import Outcome
from tidegate.http.errors import (
    BadGateway,
    BadRequest,
    GatewayTimeout,
    PolicyFailed,
    Retry,
    UpstreamUnavailable,
)
from tidegate.testing.scripted_upstream import Act

FAST = {"connect": 0.2, "first_byte": 0.2, "body_progress": 0.2}


async def closed_port() -> int:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_small_answer_comes_as_bytes_and_its_connection_is_back(serve, client, ask, counts):
    server = await serve()
    upstream = client(server)
    for _ in range(3):
        response = await upstream.send(ask("GET", b"/a", query=b"b=1", headers=[(b"x", b"y")]))
        assert response.body == b'{"ok":true}'
        assert counts(upstream).idle == counts(upstream).held == 1
    assert server.connections_opened == 1
    assert server.requests[2].raw_head == (
        b"GET /a?b=1 HTTP/1.1\r\nhost: gateway.test\r\nx: y\r\n\r\n"
    )


async def test_only_end_to_end_fields_come_back_with_our_mark(serve, client, ask):
    answer = (
        b"HTTP/1.1 200 Fine\r\nServer: s\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nTrailer: t\r\nProxy-Authenticate: p\r\nUpgrade: h2c\r\n"
        b"Set-Cookie: \t a \t \r\nset-cookie: b\r\nContent-Encoding: gzip\r\nVia: 1.0 cdn\r\n"
        b"Content-Length: 3\r\n\r\n\x1f\x8b\x00"
    )
    server = await serve(answer)
    response = await client(server).send(ask())
    assert response.headers == [
        (b"server", b"s"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"content-encoding", b"gzip"),
        (b"via", b"1.0 cdn, 1.1 tidegate"),
    ]
    assert (response.reason, response.body, response.content_length) == (
        b"Fine",
        b"\x1f\x8b\x00",
        3,
    )


async def test_trailers_never_become_fields(serve, client, ask, read):
    server = await serve(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nset-cookie: x\r\n\r\n"
    )
    response = await client(server).send(ask())
    assert await read(response) == b"a"
    assert response.headers == [(b"via", b"1.1 tidegate")]


async def test_head_and_304_keep_the_length_they_announce(serve, client, ask):
    server = await serve(
        b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    )
    upstream = client(server)
    answers = [await upstream.send(ask(method)) for method in ("HEAD", "GET", "HEAD")]
    assert [(a.body, a.content_length) for a in answers] == [(b"", 12345), (b"", 77), (b"", None)]
    assert server.connections_opened == 1


async def test_interim_responses_are_told_except_100(serve, client, ask):
    told = []
    server = await serve(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    )
    response = await client(server).send(
        ask(), lambda status, fields: told.append((status, fields))
    )
    assert response.status == 200
    assert told == [(103, [(b"link", b"</a>"), (b"via", b"1.1 tidegate")])]
    assert response.headers.get(b"link") is None


async def test_a_request_that_cannot_be_written_reaches_nobody(serve, client, ask, counts):
    server = await serve()
    upstream = client(server)
    await upstream.send(ask())
    with pytest.raises(PolicyFailed):
        await upstream.send(ask(headers=[(b"a", b"b\r\nc: d")]))
    with pytest.raises(BadRequest):
        await upstream.send(ask("CONNECT"))
    assert len(server.requests) == 1
    assert counts(upstream).idle == 1


async def test_switching_protocols_unasked_is_told_as_such(serve, client, ask):
    server = await serve(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    with pytest.raises(BadGateway, match=r"service test .* switched protocols"):
        await client(server).send(ask())


# What is tried again.


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
async def test_an_idempotent_request_survives_a_connection_that_was_closing(
    method, serve, client, ask
):
    ok = b"HTTP/1.1 204 No Content\r\n\r\n"
    server = await serve(ok, [Act.CLOSE], ok)
    upstream = client(server)
    await upstream.send(ask())
    response = await upstream.send(ask(method, body=b"ab" if method == "PUT" else b""))
    assert response.status == 204
    assert [request.connection for request in server.requests] == [1, 1, 2]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
async def test_what_may_have_been_processed_is_never_sent_twice(method, serve, client, ask, counts):
    server = await serve((200, {}, b""), [Act.CLOSE], (200, {}, b""))
    upstream = client(server)
    await upstream.send(ask())
    with pytest.raises(BadGateway, match="test"):
        await upstream.send(ask(method))
    assert len(server.requests) == 2
    assert counts(upstream).held == 0


async def test_a_streamed_body_is_never_sent_twice(serve, client, ask):
    async def body():
        yield b"once"

    server = await serve((200, {}, b""), [Act.CLOSE], (200, {}, b""))
    upstream = client(server)
    await upstream.send(ask())
    with pytest.raises(BadGateway):
        await upstream.send(ask("PUT", body=body()))
    assert len(server.requests) == 2


async def test_a_second_failure_is_final(serve, client, ask):
    server = await serve((200, {}, b""), [Act.CLOSE])
    upstream = client(server)
    await upstream.send(ask())
    with pytest.raises(BadGateway):
        await upstream.send(ask())
    assert len(server.requests) == 3


async def test_a_fresh_connection_that_closes_is_not_tried_again(serve, client, ask):
    server = await serve([Act.CLOSE])
    with pytest.raises(BadGateway):
        await client(server).send(ask())
    assert len(server.requests) == 1


async def test_a_partial_answer_is_not_tried_again(serve, client, ask):
    server = await serve((200, {}, b""), [b"HTTP/1.1 2", Act.CLOSE], (200, {}, b""))
    upstream = client(server)
    await upstream.send(ask())
    with pytest.raises(BadGateway, match="incomplete"):
        await upstream.send(ask())
    assert len(server.requests) == 2


async def test_a_post_goes_out_on_a_live_connection_after_a_restart(
    serve, client, ask, counts, eventually
):
    server = await serve()
    upstream = client(server)
    await upstream.send(ask())
    server.cut_connections()
    await eventually(lambda: counts(upstream).held == 0)
    assert (await upstream.send(ask("POST", body=b"x"))).status == 200


async def test_the_next_target_takes_over_from_one_that_refuses(serve, client, ask):
    server = await serve()
    upstream = client(f"http://127.0.0.1:{await closed_port()}", server)
    for _ in range(4):
        assert (await upstream.send(ask("POST"))).status == 200
    assert len(server.requests) == 4


async def test_targets_take_turns(serve, client, ask):
    servers = [await serve(), await serve()]
    upstream = client(*servers)
    for _ in range(6):
        await upstream.send(ask())
    assert [len(server.requests) for server in servers] == [3, 3]


async def test_no_target_to_connect_is_503_with_retry_after(client, ask, counts):
    upstream = client(f"http://127.0.0.1:{await closed_port()}")
    with pytest.raises(UpstreamUnavailable, match="Service test cannot be connected") as caught:
        await upstream.send(ask())
    assert caught.value.headers == [(b"retry-after", b"1")]
    assert caught.value.retry is Retry.UNPROCESSED
    assert "127.0.0.1" not in caught.value.detail
    assert counts(upstream).held == 0


async def test_a_name_that_does_not_resolve_is_503(client, ask):
    with pytest.raises(UpstreamUnavailable):
        await client("http://tidegate.invalid:80").send(ask())


# Times.


async def test_no_answer_in_time_is_504(serve, client, ask, counts, eventually):
    server = await serve([Act.STALL])
    upstream = client(server, timeouts=FAST)
    with pytest.raises(GatewayTimeout, match="Service test did not answer"):
        await upstream.send(ask())
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)


async def test_a_head_that_never_ends_is_504(serve, client, ask):
    server = await serve([b"HTTP/1.1 200 OK\r\na: b\r\n", Act.STALL])
    with pytest.raises(GatewayTimeout):
        await client(server, timeouts=FAST).send(ask())


async def test_a_body_that_stalls_ends_in_an_error(serve, client, ask, counts):
    server = await serve([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi", Act.STALL])
    upstream = client(server, timeouts=FAST)
    response = await upstream.send(ask())
    assert await anext(response.body) == b"hi"
    with pytest.raises(GatewayTimeout, match="go on"):
        await anext(response.body)
    await response.aclose(Outcome.ABORTED)
    assert counts(upstream).held == 0


async def test_chunk_framing_alone_is_no_progress(serve, client, ask):
    async def drip(request):
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2;"
        return [head, *[step for _ in range(40) for step in (b"x", wait())]]

    def wait():
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05 * next(count), event.set)
        return event

    count = iter(range(1, 100))
    server = await serve(drip)
    response = await client(server, timeouts=FAST).send(ask())
    async with asyncio.timeout(1):  # the drip goes on for two
        assert await anext(response.body) == b"a"
        with pytest.raises(GatewayTimeout):
            await anext(response.body)
    await response.aclose(Outcome.ABORTED)


async def test_a_connect_that_hangs_is_504(client, ask, counts):
    with socket.socket() as listener, ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):  # a full backlog leaves further handshakes unanswered
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        upstream = client(f"http://127.0.0.1:{port}", timeouts=FAST)
        with pytest.raises(GatewayTimeout, match="connected in time"):
            await upstream.send(ask())
        assert counts(upstream).held == 0


# Letting go.


async def test_a_cancelled_request_is_cut_upstream(serve, client, ask, counts, eventually):
    server = await serve([Act.STALL])
    upstream = client(server)
    sending = asyncio.create_task(upstream.send(ask()))
    await eventually(lambda: len(server.requests) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert counts(upstream).held == 0
    await eventually(lambda: server.connections_open == 0)


async def test_cancelled_with_the_answer_in_hand_nobody_elses_connection_is_cut(
    serve, client, ask, counts, eventually
):
    gate = asyncio.Event()
    server = await serve([gate, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
    upstream = client(server)
    sending = asyncio.create_task(upstream.send(ask()))
    await eventually(lambda: len(server.requests) == 1)
    gate.set()
    while not counts(upstream).idle:  # noqa: ASYNC110 the very turn of the loop matters
        await asyncio.sleep(0)
    # The connection is back in its pool and the future has its result; the task does not know.
    sending.cancel()
    await asyncio.wait([sending])
    assert counts(upstream).idle == 1
    assert (await upstream.send(ask())).status == 200


async def test_aclose_ends_what_is_under_way(serve, client, ask, counts, eventually):
    server = await serve([Act.STALL])
    upstream = client(server)
    sending = asyncio.create_task(upstream.send(ask()))
    await eventually(lambda: len(server.requests) == 1)
    await upstream.aclose()
    with pytest.raises(BadGateway):
        await sending
    assert counts(upstream).held == 0


async def test_a_retired_client_serves_what_is_under_way_and_keeps_nothing(
    serve, client, ask, counts, eventually
):
    gate = asyncio.Event()
    server = await serve((200, {}, b""), [gate, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
    upstream = client(server)
    await upstream.send(ask())
    sending = asyncio.create_task(upstream.send(ask()))
    await eventually(lambda: len(server.requests) == 2)
    upstream.retire()
    gate.set()
    assert (await sending).status == 200
    assert counts(upstream).held == 0


async def test_nothing_is_left_for_the_collector(serve, client, ask, recwarn):
    server = await serve((200, {}, b""), [Act.STALL])
    upstream = client(server, timeouts=FAST)
    await upstream.send(ask())
    with pytest.raises(GatewayTimeout):
        await upstream.send(ask())
    await upstream.aclose()
    gc.collect()
    assert not recwarn.list
