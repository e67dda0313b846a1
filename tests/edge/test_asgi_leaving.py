"""The ASGI door and clients that go: noticed if the request lasts, at no cost if it does not."""

import asyncio

import pytest

from tests.edge.conftest import Handler
from tidegate.edge import AsgiDoor
from tidegate.http import Outcome, Response
from tidegate.http.errors import BadRequest

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"


def scope_of(*fields):
    scope = {"type": "http", "method": "GET", "path": "/x", "raw_path": b"/x", "query_string": b""}
    return {**scope, "http_version": "1.1", "headers": [(b"host", b"a"), *fields]}


async def test_a_client_that_goes_cancels_its_request(asgi, connect):
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(request):
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    client = await connect(await asgi(handle))
    await client.send(GET)
    await began.wait()
    client.close()
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_client_that_goes_while_its_body_is_pulled_elsewhere_cancels_its_request(
    asgi, connect
):
    cancelled = asyncio.Event()

    async def handle(request):
        first = await anext(request.body)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(200, body=first)

    client = await connect(await asgi(handle))
    await client.send(POST % (5, b"Expect: 100-continue\r\n"))
    await client.reader.readuntil(b"\r\n\r\n")
    await client.send(b"hello")
    client.close()
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_client_that_goes_ends_the_response_once(asgi, connect, eventually):
    outcomes = []

    async def endless():
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)

    async def handle(request):
        response = Response(200, body=endless())
        response.on_close(outcomes.append)
        return response

    client = await connect(await asgi(handle))
    await client.send(GET)
    await client.reader.readuntil(b"tick")
    client.close()
    await eventually(lambda: outcomes == [Outcome.ABORTED])


async def test_a_client_that_goes_is_noticed_though_nobody_wanted_its_body(
    asgi, connect, eventually
):
    outcomes = []

    async def endless():
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)

    async def handle(request):
        response = Response(200, body=endless())
        response.on_close(outcomes.append)
        return response

    client = await connect(await asgi(handle))
    await client.send(POST % (5, b"Expect: 100-continue\r\n"))
    await client.reader.readuntil(b"tick")
    client.close()
    await eventually(lambda: outcomes == [Outcome.ABORTED])


async def test_a_client_that_goes_after_a_long_body_cancels_its_request(asgi, connect, eventually):
    size, cancelled = 2**17, asyncio.Event()

    async def handle(request):
        received = 0
        async for piece in request.body:
            received += len(piece)
        assert received == size
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    client = await connect(await asgi(handle))
    await client.send(POST % (size, b"") + b"b")
    # Its watcher is there before the body is, and waits for that to end.
    await eventually(
        lambda: any("AsgiExchange._watch" in repr(task) for task in asyncio.all_tasks())
    )
    await client.send(b"b" * (size - 1))
    client.close()
    await asyncio.wait_for(cancelled.wait(), 5)


class Server:
    """An ASGI server's side of one request without a body, in this process."""

    def __init__(self, handle):
        self.door = AsgiDoor(Handler(handle, {}))
        self.sent = []
        self.asked = 0
        self.gone = asyncio.Event()
        self.others = asyncio.all_tasks()
        self.serving = asyncio.ensure_future(self.door(scope_of(), self.receive, self.send))

    @property
    def tasks(self):
        return asyncio.all_tasks() - self.others

    async def receive(self):
        self.asked += 1
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message["type"])


async def test_a_short_request_takes_no_task_and_asks_for_no_message(eventually):
    async def handle(request):
        await asyncio.sleep(0)
        return Response(200, body=request.target)

    server = Server(handle)
    while not server.serving.done():
        assert server.tasks == {server.serving}
        await asyncio.sleep(0)
    assert server.sent == ["http.response.start", "http.response.body"]
    await eventually(lambda: not server.door.watch.is_ticking)
    assert not server.tasks
    assert not server.asked


async def test_a_lasting_request_leaves_no_watcher_behind(eventually):
    answered = asyncio.Event()

    async def handle(request):
        await answered.wait()
        return Response(200)

    server = Server(handle)
    await eventually(lambda: server.asked == 1)
    answered.set()
    await server.serving
    await eventually(lambda: not server.tasks)


@pytest.mark.parametrize(
    ("goes", "stops"), [(True, False), (False, True), (True, True)], ids=["goes", "stops", "both"]
)
async def test_a_request_ends_quietly_if_only_its_client_cancels_it(eventually, goes, stops):
    """And not its server as well, which must learn that its own word was heard."""

    async def handle(request):
        try:
            await asyncio.sleep(60)
        finally:
            if goes and stops:
                server.serving.cancel()
                await asyncio.sleep(60)

    server = Server(handle)
    if goes:
        server.gone.set()
    else:
        await eventually(lambda: server.asked == 1)
        server.serving.cancel()
    await asyncio.wait([server.serving], timeout=5)
    assert server.serving.cancelled() is stops
    assert stops or server.serving.cancelling() == 0
    assert not server.sent


async def test_after_its_answer_a_body_gives_nothing_more():
    bodies = []

    async def handle(request):
        bodies.append(request.body)
        return Response(200)

    async def receive():
        raise AssertionError("nobody reads it")

    async def send(message): ...

    scope = scope_of((b"transfer-encoding", b"chunked"))
    await AsgiDoor(Handler(handle, {}))(scope, receive, send)
    with pytest.raises(BadRequest):
        await anext(bodies[0])
