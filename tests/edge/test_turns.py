"""Requests on one connection: order, turns, and how far ahead the door reads."""

import asyncio

import pytest

from tidegate.http import Response

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo_path(request):
    return Response(200, body=request.path)


async def test_answers_come_in_the_order_of_the_requests(native, connect):
    second_may_go = asyncio.Event()

    async def handle(request):
        if request.path == b"/1":
            await second_may_go.wait()
        return Response(200, body=request.path)

    server = await native(handle)
    client = await connect(server.port)
    await client.send(GET % 1 + GET % 2)
    second_may_go.set()
    assert [(await client.answer()).body for _ in range(2)] == [b"/1", b"/2"]


async def test_no_request_is_handled_before_its_turn(native, connect, eventually):
    handled = []
    first_may_end = asyncio.Event()

    async def handle(request):
        handled.append(request.path)
        await first_may_end.wait()
        return Response(200)

    server = await native(handle)
    client = await connect(server.port)
    await client.send(GET % 1 + GET % 2 + GET % 3)
    await eventually(lambda: handled)
    assert handled == [b"/1"]
    first_may_end.set()
    for _ in range(3):
        await client.answer()
    assert handled == [b"/1", b"/2", b"/3"]


@pytest.mark.parametrize("piece_bytes", [0, 1, 7])
async def test_exactly_so_many_requests_are_parsed_ahead(native, connect, eventually, piece_bytes):
    may_end = asyncio.Event()

    async def handle(request):
        await may_end.wait()
        return Response(200, body=request.path)

    server = await native(handle, requests_ahead=3)
    client = await connect(server.port)
    sending = asyncio.create_task(
        client.send(b"".join(GET % number for number in range(9)), piece_bytes)
    )
    await eventually(lambda: server.connections)
    (connection,) = server._door.connections
    await eventually(lambda: connection.is_read_paused)
    assert len(connection._waiting) == 3
    assert connection.reader.head_bytes == 0, "the fifth is not even begun"
    may_end.set()
    assert [(await client.answer()).body for _ in range(9)] == [b"/%d" % n for n in range(9)]
    await sending


async def test_bodies_of_waiting_requests_are_bounded_together(native, connect, eventually):
    may_end = asyncio.Event()
    sizes = []

    async def handle(request):
        await may_end.wait()
        sizes.append(len(await whole(request)))
        return Response(200)

    server = await native(handle)
    client = await connect(server.port)
    body = b"b" * 50_000
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n" + body
    sending = asyncio.create_task(client.send(post * 20))
    await eventually(lambda: server.connections)
    (connection,) = server._door.connections
    await eventually(lambda: connection.is_read_paused)
    # The mark is 64 KiB, and one read may go beyond it.
    assert connection._waiting_bytes <= 2 * 64 * 1024
    may_end.set()
    for _ in range(20):
        await client.answer()
    assert sizes == [50_000] * 20
    assert connection._waiting_bytes == 0
    await sending


async def test_a_thousand_requests_in_one_write_are_all_answered(native, connect):
    server = await native(echo_path)
    client = await connect(server.port)
    sending = asyncio.create_task(client.send(b"".join(GET % n for n in range(1000))))
    for number in range(1000):
        assert (await client.answer()).body == b"/%d" % number
    await sending


async def test_requests_that_wait_are_dropped_when_the_client_goes(native, connect, eventually):
    handled = []
    ended = asyncio.Event()

    async def handle(request):
        handled.append(request.path)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise

    server = await native(handle)
    client = await connect(server.port)
    await client.send(GET % 1 + GET % 2)
    await eventually(lambda: handled)
    client.close()
    await asyncio.wait_for(ended.wait(), 5)
    await eventually(lambda: not server.connections)
    assert handled == [b"/1"]


async def whole(request) -> bytes:
    body = request.body
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])
