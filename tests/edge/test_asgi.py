"""The ASGI door: inside uvicorn on both of its parsers, and mounted in a FastAPI application."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from tests.edge.conftest import Handler, uvicorn_with
from tidegate.edge import AsgiDoor
from tidegate.gateway import GatewayNotOpen
from tidegate.http import Headers, Outcome, Response
from tidegate.http.errors import BadGateway, Unauthorized

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"


async def echo_target(request):
    return Response(200, body=request.target)


async def test_bodies_stream_both_ways(asgi, connect):
    async def handle(request):
        async def pieces():
            async for piece in request.body:
                yield piece.upper()

        return Response(200, body=pieces(), content_length=request.content_length)

    client = await connect(await asgi(handle))
    size = 2**20
    sending = asyncio.create_task(client.send(POST % (size, b"") + b"b" * size))
    assert (await client.answer()).body == b"B" * size
    await sending


async def test_a_small_body_is_bytes(asgi, connect):
    async def handle(request):
        return Response(200, body=repr(request.body).encode())

    client = await connect(await asgi(handle))
    await client.send(POST % (5, b"") + b"he")
    await client.send(b"llo")
    assert (await client.answer()).body == b"b'hello'"


async def test_100_is_sent_only_if_the_body_is_pulled(asgi, connect):
    async def handle(request):
        if request.path == b"/refuse":
            raise Unauthorized("no")
        return Response(200, body=b"".join([piece async for piece in request.body]))

    port = await asgi(handle)
    client = await connect(port)
    await client.send(POST % (5, b"Expect: 100-continue\r\n"))
    assert b" 100 " in await client.reader.readuntil(b"\r\n\r\n")
    await client.send(b"hello")
    assert (await client.answer()).body == b"hello"
    refused = await connect(port)
    await refused.send((POST % (5, b"Expect: 100-continue\r\n")).replace(b"/x", b"/refuse"))
    answer = await refused.answer()
    assert (answer.status, answer.interim) == (401, [])


async def test_date_and_server_are_written_once(asgi, connect):
    async def handle(request):
        return Response(200, Headers([(b"date", b"then"), (b"server", b"mine"), (b"x-a", b"1")]))

    client = await connect(await asgi(handle))
    await client.send(GET)
    answer = await client.answer()
    assert len(answer.get_all(b"date")) == 1
    assert len(answer.get_all(b"server")) == 1
    assert answer.get_all(b"x-a") == [b"1"]


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_keeps_the_connection(asgi, connect, status):
    async def handle(request):
        return Response(status, body=b"never sent", content_length=10)

    client = await connect(await asgi(handle))
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer()).status == status


async def test_a_response_that_fails_midway_is_truncated(asgi, connect):
    outcomes = []

    async def pieces():
        yield b"a"
        raise BadGateway("truncated")

    async def handle(request):
        response = Response(200, body=pieces())
        response.on_close(outcomes.append)
        return response

    client = await connect(await asgi(handle))
    await client.send(GET)
    assert not (await client.rest()).endswith(b"0\r\n\r\n")
    assert outcomes == [Outcome.ABORTED]


async def test_a_field_that_would_split_the_response_is_a_500(asgi, connect):
    async def handle(request):
        return Response(200, Headers([(b"x-a", b"b\r\nc: d")]))

    client = await connect(await asgi(handle))
    await client.send(GET)
    assert (await client.answer()).status == 500


async def test_an_exception_is_a_500_that_tells_the_log_alone(asgi, connect, door_log):
    async def handle(request):
        raise RuntimeError("secret")

    client = await connect(await asgi(handle))
    await client.send(GET)
    answer = await client.answer()
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert len(answer.get_all(b"x-request-id")) == 1
    assert len([r for r in door_log.records if r.name == "tidegate.edge"]) == 1


async def test_a_websocket_is_refused():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await AsgiDoor(Handler(echo_target, {}))({"type": "websocket"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


class Opened(Handler):
    """A pipeline that knows whether it is open."""

    is_open = False

    async def __aenter__(self):
        self.is_open = True
        return self

    async def __aexit__(self, *_):
        self.is_open = False


async def test_a_door_that_owns_its_pipeline_opens_it_with_the_server(connect):
    pipeline = Opened(echo_target, {})
    async with uvicorn_with(AsgiDoor.owning(lambda: pipeline), "h11", "on") as port:
        assert pipeline.is_open
        client = await connect(port)
        await client.send(GET)
        assert (await client.answer()).body == b"/x"
        client.close()
    assert not pipeline.is_open


async def test_a_pipeline_that_does_not_open_stops_the_server_with_its_reason():
    sent = []

    def fail():
        raise RuntimeError("the store is wrong")

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    await AsgiDoor.owning(fail)({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "the store is wrong"}]


async def test_without_a_lifespan_the_answer_names_what_is_missing(connect):
    app = AsgiDoor.owning(lambda: Opened(echo_target, {}))
    async with uvicorn_with(app, "h11", "off") as port:
        client = await connect(port)
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 500
        assert b"--lifespan on" in answer.body
        client.close()


async def test_a_pipeline_that_nobody_opened_says_how(connect):
    class NotOpen(Handler):
        @property
        def body_bytes_max(self):
            raise GatewayNotOpen("write `async with gateway:`")

        @body_bytes_max.setter
        def body_bytes_max(self, value): ...

    async with uvicorn_with(AsgiDoor(NotOpen(echo_target, {})), "h11") as port:
        client = await connect(port)
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 500
        assert b"async with gateway:" in answer.body
        client.close()


@asynccontextmanager
async def mounted_at(prefix: str, root_path: str = ""):
    app = FastAPI(root_path=root_path)

    @app.get("/own")
    async def own() -> str:
        return "own"

    app.mount(prefix, AsgiDoor(Handler(echo_target, {})))
    async with uvicorn_with(app, "httptools") as port:
        yield port


@pytest.mark.parametrize(
    ("prefix", "asked", "routed"),
    [
        ("/", b"/api/v1?a=b", b"/api/v1?a=b"),
        ("/", b"/", b"/"),
        ("/gw", b"/gw/api/v1?a=b", b"/api/v1?a=b"),
        ("/gw", b"/gw/", b"/"),
        ("/gw", b"/gw/a%2Fb", b"/a%2Fb"),
        ("/gw", b"/%67w/x", b"/x"),
        ("/g w", b"/g%20w/x", b"/x"),
        ("/a/b", b"/a/b/c/d", b"/c/d"),
    ],
)
async def test_a_mounted_door_routes_what_follows_its_prefix(connect, prefix, asked, routed):
    async with mounted_at(prefix) as port:
        client = await connect(port)
        await client.send(GET.replace(b"/x", asked))
        assert (await client.answer()).body == routed
        client.close()


async def test_the_routes_of_the_application_come_first(connect):
    async with mounted_at("/") as port:
        client = await connect(port)
        await client.send(GET.replace(b"/x", b"/own"))
        assert (await client.answer()).body == b'"own"'
        client.close()
