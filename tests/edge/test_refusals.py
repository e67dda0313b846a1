"""What a door refuses by itself is told to the core once, and the core's own answers are not."""

from contextlib import suppress

import pytest

from tests.edge.conftest import Handler, native_door, uvicorn_with
from tidegate.edge.asgi import AsgiDoor
from tidegate.edge.native import connection
from tidegate.http import Response
from tidegate.http.errors import BadRequest

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"

AT_BOTH = [
    (b"GET //a:b@c HTTP/1.1\r\nHost: a b\r\n\r\n", [(400, False)]),
    (POST % 99, [(413, False)]),
    (GET, []),
]
AT_THE_NATIVE_ONE = [
    (b"nonsense\r\n\r\n", [(400, False)]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, [(431, False)]),
    (b"GET / HTTP/1.1\r\nHost:", [(408, False)]),
    (POST % 9 + b"abc", []),  # by then the request is the core's
    (GET + b"nonsense\r\n\r\n", [(400, False)]),
]
BOUNDS = {"body_bytes": 20, "header_timeout": "80ms", "body_timeout": "80ms"}


async def answer(request):
    if not isinstance(request.body, bytes):
        async for _ in request.body:
            pass
    return Response(200)


async def refuse(_):
    raise BadRequest("by the core")


@pytest.mark.parametrize("sent, expected", AT_BOTH + AT_THE_NATIVE_ONE)
async def test_the_native_door_tells_what_it_refused(connect, sent, expected):
    handler = Handler(answer, BOUNDS)
    async with native_door(handler) as server:
        client = await connect(server.port)
        await client.send(sent)
        await client.answer()
    assert handler.refusals == expected


@pytest.mark.parametrize("sent, expected", [*AT_BOTH, (POST % 9 + b"abc", [(408, False)])])
async def test_the_asgi_door_tells_what_it_refused(connect, sent, expected):
    handler = Handler(answer, BOUNDS)
    async with uvicorn_with(AsgiDoor(handler), "h11") as port:
        client = await connect(port)
        await client.send(sent)
        await client.answer()
        client.close()
    assert handler.refusals == expected


async def test_a_client_that_leaves_amid_its_body_is_told_as_one_that_was_cut(connect, eventually):
    handler = Handler(answer, {})
    async with uvicorn_with(AsgiDoor(handler), "h11") as port:
        client = await connect(port)
        await client.send(POST % 9 + b"abc")
        client.close()
        await eventually(lambda: handler.refusals)
    assert handler.refusals == [(400, True)]


async def test_an_answer_of_the_core_is_no_refusal_of_the_door(connect):
    handler = Handler(refuse, {})
    async with native_door(handler) as server:
        client = await connect(server.port)
        await client.send(GET)
        assert (await client.answer()).status == 400
    assert handler.refusals == []


async def test_connections_over_the_bound_are_told_and_so_are_those_that_are_cut(
    connect, monkeypatch
):
    handler = Handler(answer, {"connections": 1})
    async with native_door(handler) as server:
        first, told = [await connect(server.port) for _ in range(2)]
        assert (await told.answer()).status == 503
        monkeypatch.setattr(connection, "REFUSED_AT_ONCE_MAX", 0)
        with suppress(ConnectionError):
            assert await (await connect(server.port)).rest() == b""
        await first.send(GET)
        assert (await first.answer()).status == 200
    assert handler.refusals == [(503, False), (503, True)]
