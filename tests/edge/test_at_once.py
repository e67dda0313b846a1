"""Answers that are there when the request is read: written at once, by the same rules as others."""

import asyncio

from tidegate.edge.native.exchange import Exchange
from tidegate.http import Headers, Outcome, Response
from tidegate.http.errors import Unauthorized

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


def no_task(self, answer):
    raise AssertionError("a Task was made")


async def test_an_answer_that_is_there_needs_no_task(native, connect, monkeypatch):
    monkeypatch.setattr(Exchange, "_run", no_task)
    server = await native(lambda request: Response(200, body=b"there"))
    client = await connect(server.port)
    for _ in range(3):
        await client.send(GET)
        assert (await client.answer()).body == b"there"


async def test_a_refusal_that_is_raised_at_once_needs_no_task(native, connect, monkeypatch):
    monkeypatch.setattr(Exchange, "_run", no_task)

    def handle(request):
        raise Unauthorized("no key")

    client = await connect((await native(handle)).port)
    for _ in range(2):
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 401
        assert b'"source":"gateway"' in answer.body


async def test_what_it_holds_is_released_once(native, connect, eventually):
    released: list[Outcome] = []

    def handle(request):
        response = Response(200, body=b"held")
        response.on_close(released.append)
        return response

    client = await connect((await native(handle)).port)
    await client.send(GET)
    assert (await client.answer()).body == b"held"
    await eventually(lambda: released == [Outcome.COMPLETE])


async def test_one_that_is_not_safe_to_write_is_a_500(native, connect):
    def handle(request):
        return Response(200, Headers([(b"x-split", b"a\r\nb: c")]), b"never")

    client = await connect((await native(handle)).port)
    for _ in range(2):
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 500
        assert b"never" not in answer.body


async def test_a_body_that_nobody_wants_is_read_before_the_next_request(native, connect):
    client = await connect((await native(lambda request: Response(200, body=b"no"))).port)
    await client.send(POST)
    assert (await client.answer()).body == b"no"
    await client.send(b"hello" + GET)
    assert (await client.answer()).body == b"no"


async def test_a_client_that_takes_nothing_is_not_answered_on_and_on(native, connect, eventually):
    handled = 0

    def handle(request):
        nonlocal handled
        handled += 1
        return Response(200, body=b"x" * 500_000)

    server = await native(handle)
    client = await connect(server.port)
    client.writer.transport.pause_reading()
    for _ in range(60):
        await client.send(GET)
        await asyncio.sleep(0.002)  # each is read by itself
    assert handled < 30  # what the two sockets hold, and the one that waits for them to drain
    client.writer.transport.resume_reading()
    for _ in range(60):
        assert len((await client.answer()).body) == 500_000
    assert handled == 60


async def test_a_client_that_leaves_before_the_task_began_is_one_that_leaves(
    native, connect, eventually
):
    ends: list[str] = []

    async def answer() -> Response:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return Response(200)

    def handle(request):
        (connection,) = server._door.connections
        # Queued ahead of the Task's first step.
        asyncio.get_running_loop().call_soon(connection.reset)
        asyncio.get_running_loop().call_soon(connection.current.cancel)
        return answer()

    server = await native(handle)
    client = await connect(server.port)
    await client.send(GET)
    await eventually(lambda: ends == ["cancelled"])
    await eventually(lambda: not server.connections)
