"""How long the ASGI door waits for a client that neither sends nor reads."""

import asyncio

import pytest

from tidegate.http import Outcome, Response
from tidegate.http.errors import RequestTimeout

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIZED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def pull(request):
    body = request.body
    whole = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
    return Response(200, body=whole)


@pytest.mark.parametrize("sent", [SIZED + b"half", CHUNKED + b"4\r\nhalf\r\n"])
async def test_a_body_that_stalls_is_408(asgi, connect, sent):
    client = await connect(await asgi(pull, body_timeout=0.2))
    await client.send(sent)
    answer = await client.answer()
    assert answer.status == 408
    assert answer.get_all(b"connection") == [b"close"]


async def test_whoever_pulls_a_body_that_stalls_learns_why(asgi, connect):
    seen = []

    async def handle(request):
        # As an upload does: in a task of its own.
        pulling = asyncio.create_task(pull(request))
        try:
            return await pulling
        except RequestTimeout as error:
            seen.append(error)
            raise

    client = await connect(await asgi(handle, body_timeout=0.2))
    await client.send(CHUNKED)
    assert (await client.answer()).status == 408
    assert seen


@pytest.mark.parametrize("head", [SIZED, CHUNKED])
async def test_a_body_that_goes_on_slowly_is_not_cut(asgi, connect, head):
    client = await connect(await asgi(pull, body_timeout=0.4, body_rate_min=1))
    await client.send(head)
    for byte in b"0123456789":
        await asyncio.sleep(0.1)
        await client.send(b"%c" % byte if head is SIZED else b"1\r\n%c\r\n" % byte)
    if head is CHUNKED:
        await client.send(b"0\r\n\r\n")
    assert (await client.answer()).body == b"0123456789"


@pytest.mark.parametrize("head", [LARGE, CHUNKED])
async def test_a_body_that_trickles_is_408(asgi, connect, head):
    client = await connect(await asgi(pull, body_timeout=0.3, body_rate_min=100))
    await client.send(head)

    async def trickle():
        while True:
            await asyncio.sleep(0.05)
            await client.send(b"1\r\nb\r\n" if head is CHUNKED else b"b")

    trickling = asyncio.create_task(trickle())
    answer = await client.answer()
    assert answer.status == 408
    assert b"100 bytes a second" in answer.body
    assert answer.get_all(b"connection") == [b"close"]
    trickling.cancel()


async def test_while_the_body_is_not_read_its_pace_is_not_the_client_s(asgi, connect):
    async def handle(request):
        received = 0
        async for piece in request.body:
            received += len(piece)
            await asyncio.sleep(0.02)
        return Response(200, body=b"%d" % received)

    client = await connect(await asgi(handle, body_timeout=0.1, body_rate_min=2**20))
    size = 2**20
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    await client.send(head + b"b" * size)
    assert (await client.answer()).body == b"%d" % size


async def test_a_handler_may_take_its_time(asgi, connect):
    async def handle(request):
        await asyncio.sleep(0.4)
        return await pull(request)

    client = await connect(await asgi(handle, body_timeout=0.1))
    await client.send(GET)
    assert (await client.answer()).status == 200


async def test_a_client_that_does_not_read_gives_back_what_its_response_holds(
    asgi, connect, eventually
):
    outcomes = []

    async def endless():
        while True:
            yield b"b" * 65536

    async def handle(request):
        response = Response(200, body=endless())
        response.on_close(outcomes.append)
        return response

    client = await connect(await asgi(handle, body_timeout=0.3))
    client.writer.transport.pause_reading()
    await client.send(GET)
    await eventually(lambda: outcomes == [Outcome.ABORTED])


async def test_an_answer_behind_one_that_is_not_read_waits_no_longer(asgi, connect, eventually):
    outcomes = []

    async def handle(request):
        response = Response(200, body=b"b" * 2**24)
        response.on_close(outcomes.append)
        return response

    client = await connect(await asgi(handle, body_timeout=0.3))
    client.writer.transport.pause_reading()
    await client.send(GET)
    await eventually(lambda: outcomes == [Outcome.COMPLETE])
    await client.send(GET)
    await eventually(lambda: outcomes == [Outcome.COMPLETE, Outcome.ABORTED])
