"""How long the native door waits, and what it says when it waits no longer."""

import asyncio

import pytest

from tidegate.http import Response
from tidegate.http.errors import RequestTimeout

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n%b\r\n"


async def hello(request):
    return Response(200, body=b"hello")


async def pull(request):
    return Response(200, body=b"".join([piece async for piece in request.body]))


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_connection_that_says_nothing_is_closed_silently(native, connect):
    client = await connect((await native(hello, header_timeout=0.2)).port)
    began = now()
    assert await client.rest() == b""
    assert now() - began >= 0.2
    assert not client.reader.was_reset


async def test_a_head_that_does_not_end_is_408(native, connect):
    client = await connect((await native(hello, header_timeout=0.2)).port)
    await client.send(GET[:-2])
    answer = await client.answer()
    assert answer.status == 408
    assert answer.get_all(b"connection") == [b"close"]
    client.writer.write_eof()
    assert await client.rest() == b""


async def test_a_head_that_trickles_is_408_all_the_same(native, connect):
    client = await connect((await native(hello, header_timeout=0.3)).port)

    async def trickle():
        for position in range(len(GET) - 1):
            await client.send(GET[position : position + 1])
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    assert (await client.answer()).status == 408
    trickling.cancel()


async def test_an_idle_connection_is_closed_silently(native, connect):
    client = await connect((await native(hello, keepalive_timeout=0.3, header_timeout=0.1)).port)
    await client.send(GET)
    await client.answer()
    began = now()
    assert await client.rest() == b""
    assert 0.3 <= now() - began < 2
    assert not client.reader.was_reset


async def test_a_second_head_that_does_not_end_is_408(native, connect):
    client = await connect((await native(hello, header_timeout=0.2)).port)
    await client.send(GET + GET[:9])
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 408


async def test_a_body_that_stalls_is_408(native, connect):
    seen = []

    async def handle(request):
        try:
            return await pull(request)
        except RequestTimeout as error:
            seen.append(error)
            raise

    client = await connect((await native(handle, body_timeout=0.2)).port)
    await client.send(POST % b"" + b"half")
    answer = await client.answer()
    assert answer.status == 408
    assert answer.get_all(b"connection") == [b"close"]
    assert seen


async def test_a_body_that_goes_on_slowly_is_not_cut(native, connect):
    client = await connect((await native(pull, body_timeout=0.2, body_rate_min=1)).port)
    await client.send(POST % b"")
    for byte in b"0123456789":
        await asyncio.sleep(0.1)
        await client.send(bytes((byte,)))
    assert (await client.answer()).body == b"0123456789"


@pytest.mark.parametrize("head", [LARGE, CHUNKED])
async def test_a_body_that_trickles_is_408(native, connect, head):
    seen = []

    async def handle(request):
        try:
            return await pull(request)
        except RequestTimeout as error:
            seen.append(error)
            raise

    client = await connect((await native(handle, body_timeout=0.3, body_rate_min=100)).port)
    await client.send(head)
    trickling = asyncio.create_task(trickle(client, head is CHUNKED))
    answer = await client.answer()
    assert answer.status == 408
    assert b"100 bytes a second" in answer.body
    assert answer.get_all(b"connection") == [b"close"]
    assert seen
    trickling.cancel()


async def test_a_fast_beginning_does_not_pay_for_a_body_that_trickles_then(native, connect):
    client = await connect((await native(pull, body_timeout=0.3, body_rate_min=100)).port)
    await client.send(LARGE + b"b" * 10_000)
    trickling = asyncio.create_task(trickle(client))
    assert (await client.answer()).status == 408
    trickling.cancel()


async def test_a_body_that_keeps_the_pace_is_not_cut(native, connect):
    client = await connect((await native(pull, body_timeout=0.2, body_rate_min=100)).port)
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(20):
        await asyncio.sleep(0.05)
        await client.send(b"b" * 50)
    assert (await client.answer()).body == b"b" * 1000


async def test_zero_asks_for_no_pace(native, connect):
    client = await connect((await native(pull, body_timeout=0.2, body_rate_min=0)).port)
    await client.send(POST % b"")
    for byte in b"0123456789":
        await asyncio.sleep(0.1)
        await client.send(b"%c" % byte)
    assert (await client.answer()).body == b"0123456789"


async def test_while_the_body_is_not_read_its_pace_is_not_the_client_s(native, connect):
    size = 2**20

    async def handle(request):
        received = 0
        async for piece in request.body:
            received += len(piece)
            await asyncio.sleep(0.02)
        return Response(200, body=b"%d" % received)

    bounds = {"body_timeout": 0.2, "body_rate_min": 2**20}
    client = await connect((await native(handle, **bounds)).port)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    await client.send(head + b"b" * size)
    assert (await client.answer()).body == b"%d" % size


async def trickle(client, is_chunked=False):
    """A byte well within each timeout, for ever."""
    while True:
        await asyncio.sleep(0.05)
        await client.send(b"1\r\nb\r\n" if is_chunked else b"b")


async def test_a_body_that_stalls_after_the_answer_ends_the_connection(native, connect):
    client = await connect((await native(hello, body_timeout=0.2)).port)
    await client.send(POST % b"")
    assert (await client.answer()).status == 200
    # One more answer may not come: the request has had its own.
    assert b"HTTP/1.1 200" not in await client.rest()


async def test_waiting_for_100_is_not_the_client_s_delay(native, connect):
    async def handle(request):
        await asyncio.sleep(0.6)
        return await pull(request)

    client = await connect((await native(handle, body_timeout=0.2)).port)
    await client.send(POST % b"Expect: 100-continue\r\n")
    assert b" 100 " in await client.reader.readuntil(b"\r\n\r\n")
    await client.send(b"0123456789")
    assert (await client.answer()).status == 200


async def test_a_body_that_is_not_read_is_not_the_client_s_delay(native, connect):
    size = 2**20

    async def handle(request):
        await asyncio.sleep(0.6)
        return Response(200, body=b"%d" % sum([len(piece) async for piece in request.body]))

    client = await connect((await native(handle, body_timeout=0.2)).port)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    await client.send(head + b"b" * size)
    assert (await client.answer()).body == b"%d" % size


async def test_a_handler_may_take_its_time(native, connect):
    async def handle(request):
        await asyncio.sleep(0.6)
        return Response(200)

    bounds = {"header_timeout": 0.1, "keepalive_timeout": 0.1, "body_timeout": 0.1}
    client = await connect((await native(handle, **bounds)).port)
    await client.send(GET)
    assert (await client.answer()).status == 200


async def test_a_slow_reader_that_reads_is_not_cut(native, connect):
    size = 12 * 2**20
    client = await connect((await native(lambda _: large(size), body_timeout=0.3)).port)
    await client.send(GET)
    await client.reader.readuntil(b"\r\n\r\n")
    received = 0
    transport = client.writer.transport
    while received < size:
        transport.pause_reading()
        await asyncio.sleep(0.02)
        transport.resume_reading()
        received += len(await client.reader.read(2**20))
    assert received == size


async def large(size: int) -> Response:
    return Response(200, body=b"b" * size)
