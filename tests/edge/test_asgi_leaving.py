"""The ASGI door and clients that go: noticed if the request lasts, at no cost if it does not."""

import asyncio
from itertools import pairwise

import pytest

from tests.edge.conftest import Handler
from tidegate.edge import AsgiDoor, asgi_body
from tidegate.edge.asgi_watch import TICK_S
from tidegate.http import Outcome, Response
from tidegate.http.errors import BadRequest

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"


def scope_of(*fields):
    scope = {"type": "http", "method": "GET", "path": "/x", "raw_path": b"/x", "query_string": b""}
    return {**scope, "http_version": "1.1", "headers": [(b"host", b"a"), *fields]}


async def ticking():
    while True:
        yield b"tick"
        await asyncio.sleep(0.01)


def streaming(outcomes, body_of):
    async def handle(request):
        response = Response(200, body=body_of(request))
        response.on_close(outcomes.append)
        return response

    return handle


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
    client = await connect(await asgi(streaming(outcomes, lambda _: ticking())))
    await client.send(GET)
    await client.reader.readuntil(b"tick")
    client.close()
    await eventually(lambda: outcomes == [Outcome.ABORTED])


async def test_a_client_that_goes_is_noticed_though_nobody_wanted_its_body(
    asgi, connect, eventually
):
    outcomes = []
    client = await connect(await asgi(streaming(outcomes, lambda _: ticking())))
    await client.send(POST % (5, b"Expect: 100-continue\r\n"))
    await client.reader.readuntil(b"tick")
    client.close()
    await eventually(lambda: outcomes == [Outcome.ABORTED])


@pytest.mark.parametrize("sent", [b"b", b"b" * 2**20], ids=["what is pulled", "more"])
async def test_a_client_that_goes_is_noticed_though_the_rest_of_its_body_is_not_pulled(
    asgi, connect, eventually, monkeypatch, sent
):
    monkeypatch.setattr(asgi_body, "LOOK_S", 0.01)
    outcomes = []

    async def pulling_once(body):
        yield await anext(body)
        async for tick in ticking():
            yield tick

    handle = streaming(outcomes, lambda request: pulling_once(request.body))
    client = await connect(await asgi(handle))
    await client.send(POST % (2**21, b""))
    sending = asyncio.create_task(client.send(sent))
    await client.reader.readuntil(b"tick")
    client.reset()
    await eventually(lambda: outcomes == [Outcome.ABORTED])
    await sending


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


async def test_what_came_while_nobody_pulled_is_pulled_afterwards(asgi, connect, monkeypatch):
    """And a client that sends nothing while nobody pulls does not stall."""
    monkeypatch.setattr(asgi_body, "LOOK_S", 0.01)
    pieces = [b"%d" % number * 1000 for number in range(8)]
    pauses = asyncio.Queue()

    async def handle(request):
        received = b""
        async for piece in request.body:
            received += piece
            await pauses.get()
        return Response(200, body=received)

    client = await connect(await asgi(handle, body_timeout=0.5))
    await client.send(POST % (8000, b"Expect: 100-continue\r\n"))
    await client.reader.readuntil(b"\r\n\r\n")
    await client.send(pieces[0])
    await asyncio.sleep(0.7)
    for piece in pieces[1:4]:
        await client.send(piece)
        await asyncio.sleep(0.05)
    for _ in pieces:
        pauses.put_nowait(None)
    for piece in pieces[4:]:
        await client.send(piece)
    assert (await client.answer()).body == b"".join(pieces)


class Server:
    """An ASGI server's side of one request, in this process; by itself one without a body."""

    def __init__(self, handle, *fields):
        self.door = AsgiDoor(Handler(handle, {}))
        self.sent = []
        self.asked = 0
        self.gone = asyncio.Event()
        self.others = asyncio.all_tasks()
        self.serving = asyncio.ensure_future(self.door(scope_of(*fields), self.receive, self.send))

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
    await eventually(lambda: server.door.watch._timer is None)
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


class SendingServer(Server):
    """Its client sends as much as is received."""

    def __init__(self, handle, *fields):
        self.asked_at = []
        super().__init__(handle, *fields)

    async def receive(self):
        self.asked_at.append(asyncio.get_running_loop().time())
        return {"type": "http.request", "body": b"b", "more_body": True}


class StallingServer(Server):
    """Its client sends a piece and no more."""

    async def receive(self):
        if self.asked:
            return await super().receive()
        self.asked += 1
        return {"type": "http.request", "body": b"b", "more_body": True}


async def test_of_a_body_that_is_not_pulled_little_is_kept(eventually, monkeypatch):
    monkeypatch.setattr(asgi_body, "LOOK_S", 0.01)
    answered = asyncio.Event()

    async def handle(request):
        await anext(request.body)
        await answered.wait()
        return Response(200)

    server = SendingServer(handle, (b"transfer-encoding", b"chunked"))
    await eventually(lambda: len(server.asked_at) == 6)
    answered.set()
    await server.serving
    looks = pairwise(server.asked_at[1:])
    waits = [later - earlier for earlier, later in looks]
    assert all(wait > 0.009 * 2**kept for kept, wait in enumerate(waits, 1))
    await eventually(lambda: not server.tasks)


async def test_whoever_pulls_on_after_the_answer_is_told_so(eventually, monkeypatch):
    """Also if what he waits for was looked for before he pulled."""
    monkeypatch.setattr(asgi_body, "LOOK_S", 0.01)
    bodies, answered = [], asyncio.Event()

    async def handle(request):
        bodies.append(request.body)
        await anext(request.body)
        await answered.wait()
        return Response(200)

    server = StallingServer(handle, (b"transfer-encoding", b"chunked"))
    await eventually(lambda: server.asked == 2)
    pulling = asyncio.ensure_future(anext(bodies[0]))
    await asyncio.sleep(0)
    answered.set()
    await server.serving
    with pytest.raises(BadRequest):
        await asyncio.wait_for(pulling, 5)
    await eventually(lambda: not server.tasks)


async def test_while_somebody_pulls_nobody_else_receives(monkeypatch):
    monkeypatch.setattr(asgi_body, "LOOK_S", 0.01)

    async def handle(request):
        async for _ in request.body:
            pass

    server = StallingServer(handle, (b"transfer-encoding", b"chunked"))
    await asyncio.sleep(4 * TICK_S)
    assert server.asked == 2
    server.gone.set()
    await server.serving


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
