"""What the native door writes, and what it does when a response goes wrong."""

import asyncio
import gc

import pytest

from tidegate.http import Headers, Outcome, Request, Response
from tidegate.http.errors import BadGateway, TooManyRequests

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_10 = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"


async def streamed(*pieces):
    for piece in pieces:
        if isinstance(piece, BaseException):
            raise piece
        if isinstance(piece, asyncio.Event):
            await piece.wait()
        else:
            yield piece


@pytest.fixture
def answering(native, connect):
    """`client, outcomes = await answering(make)`: every request is answered with `make()`."""

    async def start(make, **bounds):
        outcomes = []

        async def handle(request):
            response = make()
            response.on_close(outcomes.append)
            return response

        return await connect((await native(handle, **bounds)).port), outcomes

    return start


async def test_a_response_is_framed_anew(answering):
    fields = [(b"content-length", b"99"), (b"transfer-encoding", b"x"), (b"connection", b"y")]
    client, outcomes = await answering(
        lambda: Response(201, Headers([*fields, (b"x-a", b"1")]), b"hello", reason=b"Made")
    )
    await client.send(GET)
    assert (await client.reader.readline()) == b"HTTP/1.1 201 Made\r\n"
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"x-a: 1\r\ncontent-length: 5\r\ndate: ")
    assert await client.reader.readexactly(5) == b"hello"
    assert head.count(b"\r\n") == 4
    assert outcomes == [Outcome.COMPLETE]


async def test_date_is_written_once_and_the_upstream_s_own_is_kept(answering):
    client, _ = await answering(lambda: Response(200, Headers([(b"date", b"then")])))
    await client.send(GET)
    assert (await client.answer()).get_all(b"date") == [b"then"]


@pytest.mark.parametrize(
    ("response", "lengths"),
    [
        (lambda: Response(200, body=b"hello"), [b"5"]),
        (lambda: Response(200, content_length=7), [b"7"]),
        (lambda: Response(200), []),
        (lambda: Response(200, body=streamed(b"hello"), content_length=5), [b"5"]),
        (lambda: Response(304, content_length=9), [b"9"]),
        (lambda: Response(204, content_length=9), []),
    ],
)
async def test_an_answer_to_head_says_the_length_and_sends_nothing(answering, response, lengths):
    client, outcomes = await answering(response)
    for _ in range(2):
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer(is_head=True)).get_all(b"content-length") == lengths
    assert outcomes == [Outcome.COMPLETE] * 2


@pytest.mark.parametrize("status", [204, 304])
async def test_no_body_follows_a_status_without_one(answering, status):
    client, _ = await answering(lambda: Response(status, body=b"never sent"))
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer()).status == status


async def test_a_body_of_unknown_length_is_chunked_to_1_1(answering):
    client, outcomes = await answering(lambda: Response(200, body=streamed(b"a", b"", b"bc")))
    for _ in range(2):
        await client.send(GET)
        answer = await client.answer()
        assert answer.get_all(b"transfer-encoding") == [b"chunked"]
        assert answer.body == b"abc"
    assert outcomes == [Outcome.COMPLETE] * 2


async def test_a_body_of_unknown_length_ends_by_closing_to_1_0(answering):
    client, _ = await answering(lambda: Response(200, body=streamed(b"a", b"bc")))
    await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = await client.answer()
    assert answer.get_all(b"connection") == [b"close"]
    assert answer.get_all(b"transfer-encoding") == []
    assert answer.body == b"abc"
    assert not client.reader.was_reset


async def test_a_piece_is_sent_before_the_next_is_made(answering):
    gate = asyncio.Event()
    client, _ = await answering(lambda: Response(200, body=streamed(b"first", gate, b"second")))
    await client.send(GET)
    await asyncio.wait_for(client.reader.readuntil(b"5\r\nfirst\r\n"), 5)
    gate.set()
    await asyncio.wait_for(client.reader.readuntil(b"6\r\nsecond\r\n0\r\n\r\n"), 5)


@pytest.mark.parametrize("ask", [GET, GET_10])
@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), BadGateway("truncated")], ids=["raises", "truncated"]
)
async def test_a_response_that_fails_midway_is_reset(answering, door_log, ask, error):
    client, outcomes = await answering(lambda: Response(200, body=streamed(b"a", error)))
    await client.send(ask)
    received = await client.rest()
    assert client.reader.was_reset
    assert not received.endswith(b"0\r\n\r\n")
    assert outcomes == [Outcome.ABORTED]
    assert len(door_log.records) == 1


@pytest.mark.parametrize("length", [2, 4])
async def test_a_body_not_as_long_as_announced_is_reset(answering, length):
    client, outcomes = await answering(
        lambda: Response(200, body=streamed(b"ab", b"c"), content_length=length)
    )
    await client.send(GET)
    received = await client.rest()
    assert client.reader.was_reset
    assert len(received.partition(b"\r\n\r\n")[2]) <= length
    assert outcomes == [Outcome.ABORTED]


@pytest.mark.parametrize(
    "field",
    [(b"x-a", b"b\r\nset-cookie: c=d"), (b"x-a", b"b\nc"), (b"x\r\n", b"b"), (b"x-a", b"\0")],
)
async def test_a_field_that_would_split_the_response_is_a_500(answering, field):
    client, outcomes = await answering(lambda: Response(200, Headers([field]), b"body"))
    await client.send(GET)
    answer = await client.answer()
    assert answer.status == 500
    assert answer.get_all(b"set-cookie") == []
    assert b"body" not in answer.body
    assert outcomes == [Outcome.ABORTED]


@pytest.mark.parametrize("status", [0, 101, 199, 600])
async def test_a_status_that_ends_nothing_is_a_500(answering, status):
    client, _ = await answering(lambda: Response(status))
    await client.send(GET)
    assert (await client.answer()).status == 500


async def test_an_exception_is_a_500_that_tells_the_log_alone(native, connect, door_log):
    async def handle(request):
        raise RuntimeError("secret")

    client = await connect((await native(handle)).port)
    for _ in range(2):
        door_log.clear()
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 500
        assert answer.get_all(b"content-type") == [b"application/problem+json"]
        assert b"secret" not in answer.body
        assert len(answer.get_all(b"x-request-id")) == 1
        assert len(door_log.records) == 1
        assert "secret" in str(door_log.records[0].exc_info[1])


async def test_a_refusal_keeps_the_connection_and_carries_its_fields(native, connect, door_log):
    async def handle(request):
        raise TooManyRequests("slower", headers=((b"retry-after", b"3"),))

    client = await connect((await native(handle)).port)
    for _ in range(2):
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 429
        assert answer.get_all(b"retry-after") == [b"3"]
    assert not door_log.records


async def test_a_handler_that_is_cancelled_from_inside_resets(native, connect):
    async def handle(request):
        raise asyncio.CancelledError

    client = await connect((await native(handle)).port)
    await client.send(GET)
    assert await client.rest() == b""
    assert client.reader.was_reset


async def test_a_release_that_fails_is_logged_and_does_not_end_the_connection(
    native, connect, door_log
):
    def fail(outcome):
        raise RuntimeError("release")

    async def handle(request):
        response = Response(200)
        response.on_close(fail)
        return response

    client = await connect((await native(handle)).port)
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer()).status == 200
    assert len(door_log.records) == 2


async def test_a_client_that_goes_does_not_cut_the_release(native, connect, eventually):
    released = []
    may_release = asyncio.Event()

    async def release(outcome):
        await may_release.wait()
        released.append(outcome)

    async def handle(request):
        response = Response(200)
        response.on_close(release)
        return response

    server = await native(handle)
    client = await connect(server.port)
    await client.send(GET)
    await client.answer()
    client.reset()
    await eventually(lambda: server.connections == 0)
    may_release.set()
    await eventually(lambda: released == [Outcome.COMPLETE])


async def test_a_client_that_does_not_read_holds_the_body_back(native, connect, eventually):
    made = 0
    outcomes = []

    async def endless():
        nonlocal made
        while True:
            made += 1
            yield b"b" * 65536

    async def handle(request):
        response = Response(200, body=endless())
        response.on_close(outcomes.append)
        return response

    server = await native(handle, body_timeout=0.4)
    client = await connect(server.port)
    client.writer.transport.pause_reading()
    await client.send(GET)
    await eventually(lambda: made)
    await eventually(lambda: outcomes == [Outcome.ABORTED])
    # What fits the kernel's two socket buffers and the transport's own.
    assert made < 1000
    await eventually(lambda: not server.connections)


@pytest.mark.parametrize("fails", [False, True], ids=["answered", "refused"])
async def test_an_exchange_that_has_ended_leaves_nothing_to_the_cycle_collector(
    native, connect, fails
):
    async def handle(request):
        if fails:
            raise BadGateway("not now")
        return Response(200, body=b"hello")

    server = await native(handle)
    client = await connect(server.port)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(10):
            await client.send(GET)
            await client.answer()
        gc.collect()
        left = [item for item in gc.garbage if isinstance(item, (Request, Response, asyncio.Task))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []
