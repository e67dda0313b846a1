"""Request bodies through the native door: whole or streamed, pulled or not."""

import asyncio

from tidegate.edge.native.body import RequestBody
from tidegate.http import Response
from tidegate.http.errors import Unauthorized

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
EXPECT = b"Expect: 100-continue\r\n"


async def whole(request) -> bytes:
    body = request.body
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


async def test_a_body_that_came_with_its_head_is_bytes(native, connect):
    async def handle(request):
        assert request.content_length == 5
        return Response(200, body=repr(request.body).encode())

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (5, b"") + b"hello")
    assert (await client.answer()).body == b"b'hello'"


async def test_a_body_that_comes_later_is_pulled_piece_by_piece(native, connect):
    pulled = asyncio.Queue()

    async def handle(request):
        assert not isinstance(request.body, bytes)
        async for piece in request.body:
            pulled.put_nowait(piece)
        return Response(200)

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (6, b""))
    for piece in (b"one", b"two"):
        await client.send(piece)
        assert await asyncio.wait_for(pulled.get(), 5) == piece
    assert (await client.answer()).status == 200


async def test_a_chunked_body_has_no_length(native, connect):
    async def handle(request):
        assert request.content_length is None
        return Response(200, body=await whole(request))

    client = await connect((await native(handle)).port)
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(b"3\r\nabc\r\n")
    await client.send(b"3\r\ndef\r\n0\r\n\r\n")
    assert (await client.answer()).body == b"abcdef"


async def test_nothing_is_read_while_nobody_pulls(native, connect, eventually):
    may_pull = asyncio.Event()

    async def handle(request):
        await may_pull.wait()
        return Response(200, body=b"%d" % len(await whole(request)))

    server = await native(handle)
    client = await connect(server.port)
    size = 16 * 2**20
    sending = asyncio.create_task(client.send(HEAD % (size, b"") + b"b" * size))
    await eventually(lambda: server.connections)
    (connection,) = server._door.connections
    await eventually(lambda: connection.is_read_paused)
    assert connection._waiting_bytes <= 2 * 64 * 1024
    assert not sending.done()
    may_pull.set()
    assert (await client.answer()).body == b"%d" % size
    await sending


async def test_a_small_body_nobody_wanted_does_not_cost_the_connection(native, connect):
    async def handle(request):
        return Response(200, body=request.method.encode())

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (10, b""))
    first = await client.answer()
    assert first.get_all(b"connection") == []
    await client.send(b"0123456789" + GET)
    assert (await client.answer()).body == b"GET"


async def test_a_large_body_nobody_wanted_costs_the_connection_but_not_the_answer(native, connect):
    async def handle(request):
        raise Unauthorized("no")

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (2**20, b"") + b"b" * 2**19)
    answer = await client.answer()
    assert answer.status == 401
    assert answer.get_all(b"connection") == [b"close"]
    client.writer.write_eof()
    assert await client.rest() == b""
    assert not client.reader.was_reset


async def test_a_chunked_body_nobody_wanted_is_read_only_so_far(native, connect, eventually):
    async def handle(request):
        return Response(200)

    server = await native(handle)
    client = await connect(server.port)
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await client.answer()).status == 200
    chunk = b"4000\r\n" + b"b" * 0x4000 + b"\r\n"
    await client.send(chunk * 3)
    assert not client.reader.has_ended
    await client.send(chunk * 3)
    assert await client.rest() == b""


async def test_100_is_sent_when_the_body_is_pulled(native, connect):
    may_pull = asyncio.Event()

    async def handle(request):
        await may_pull.wait()
        return Response(200, body=await whole(request))

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (5, EXPECT))
    may_pull.set()
    interim = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"hello")
    answer = await client.answer()
    assert (answer.body, answer.interim) == (b"hello", [])


async def test_a_refusal_comes_without_100_and_closes(native, connect):
    async def handle(request):
        raise Unauthorized("no")

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (5, EXPECT))
    answer = await client.answer()
    assert (answer.status, answer.interim) == (401, [])
    assert answer.get_all(b"connection") == [b"close"]
    # Whether the body follows is unknown, so what does follow is no request.
    await client.send(GET)
    assert await client.rest() == b""


async def test_100_waits_for_the_turn_of_its_request(native, connect):
    first_may_end = asyncio.Event()

    async def handle(request):
        if request.method == "GET":
            await first_may_end.wait()
        return Response(200, body=await whole(request))

    client = await connect((await native(handle)).port)
    await client.send(GET + HEAD % (5, EXPECT))
    first_may_end.set()
    assert (await client.answer()).interim == []
    assert b" 100 " in await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
    await client.send(b"hello")
    assert (await client.answer()).body == b"hello"


async def test_a_body_cannot_be_read_after_its_response(native, connect):
    kept = []

    async def handle(request):
        kept.append(request.body)
        return Response(200)

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (5, b"") + b"he")
    await client.answer()
    error = None
    try:
        await anext(kept[0])
    except Exception as caught:
        error = caught
    assert "before the response ended" in str(error)


async def test_the_body_may_stream_in_while_the_answer_streams_out(native, connect):
    async def handle(request):
        async def pieces():
            async for piece in request.body:
                yield piece.upper()

        return Response(200, body=pieces(), content_length=request.content_length)

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (6, b""))
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
    assert b"connection" not in head
    for piece in (b"one", b"two"):
        await client.send(piece)
        assert await asyncio.wait_for(client.reader.readexactly(3), 5) == piece.upper()


async def test_a_body_cut_by_the_client_cancels_the_handling(native, connect):
    ended = asyncio.Event()

    async def handle(request):
        try:
            return Response(200, body=await whole(request))
        except asyncio.CancelledError:
            ended.set()
            raise

    client = await connect((await native(handle)).port)
    await client.send(HEAD % (50, b"") + b"he")
    client.writer.write_eof()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_body_in_tiny_chunks_is_held_as_few_pieces():
    """Each piece is an object of 50 bytes or more: 32,000 of 2 bytes would hold 2 MB, not 64 KB."""

    class Source:
        waiting = 0

        def body_waits(self, count: int) -> None:
            self.waiting += count

        def body_taken(self, count: int) -> None:
            self.waiting -= count

        def invite_body(self) -> None: ...

    source = Source()
    body = RequestBody(source, expects_continue=False)
    sent = [b"%02d" % (number % 100) for number in range(32_000)]
    for piece in sent:
        body.feed(piece)
    body.complete()
    assert source.waiting == 64_000
    held = [piece async for piece in body]
    assert len(held) < 100
    assert b"".join(held) == b"".join(sent)
    assert source.waiting == 0
