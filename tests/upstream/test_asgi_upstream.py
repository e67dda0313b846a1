"""A service without a socket: an application of this process, with a service's bounds."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from tidegate.config.schema import Route, Service
from tidegate.http import Outcome
from tidegate.http.errors import (
    BadGateway,
    ContentTooLarge,
    GatewayTimeout,
    PolicyFailed,
    UpstreamUnavailable,
)
from tidegate.upstream import AsgiApps, AsgiUpstream, TargetNotLoaded, ready_fields, upstream_of
from tidegate.upstream.asgi_app import AsgiApp

TARGET = "asgi:tests_app:app"


def upstream(app: Any, **settings: Any) -> AsgiUpstream:
    service = {"name": "test", "targets": [TARGET], "routes": (Route(name="r"),), **settings}
    return AsgiUpstream(Service.model_validate(service), AsgiApp(TARGET, app))


@asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[AsgiUpstream]:
    """Without a start: most applications here know requests only."""
    served = upstream(app, **settings)
    yield served
    await served.aclose()


async def answer(send: Any, status: int = 200, body: bytes = b"ok", **fields: bytes) -> None:
    headers = [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_fastapi_answers_as_behind_a_socket(ask, read) -> None:
    app = FastAPI()

    @app.post("/things/{name}")
    async def things(name: str, q: int, request: Request) -> dict[str, Any]:
        return {
            "name": name,
            "q": q,
            "body": (await request.body()).decode(),
            "host": request.headers["host"],
            "length": request.headers["content-length"],
            "client": request.client.host if request.client else None,
        }

    async with serving(app) as served:
        request = ask("POST", b"/things/a%20b", query=b"q=7", body=b"hello", client="192.0.2.1")
        response = await served.send(request)
        body = await read(response)
    assert response.status == 200
    assert json.loads(body) == {
        "name": "a b",
        "q": 7,
        "body": "hello",
        "host": "gateway.test",
        "length": "5",
        "client": "192.0.2.1",
    }
    assert response.headers.get(b"via") == b"1.1 tidegate"
    assert response.headers.get(b"content-length") is None
    assert response.content_length == len(body)


async def test_the_scope_holds_the_request_and_the_gateways_own_fields(ask) -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answer(send)

    ready = ready_fields([(b"x-forwarded-for", b"192.0.2.1"), (b"via", b"1.1 tidegate")])
    fields = [(b"accept", b"*/*"), (b"content-length", b"9"), (b"connection", b"close")]
    async with serving(app, host="shop.example:81") as served:
        for _ in range(2):
            await served.send(ask("GET", b"/%7e", headers=fields), None, ready)
        await served.send(ask("POST", b"/", body=pieces(b"a")))
    scope = scopes[1]
    assert scope["headers"] == [
        (b"host", b"shop.example:81"),
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"via", b"1.1 tidegate"),
    ]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/~", b"/%7e", b"")
    assert (scope["server"], scope["client"], scope["scheme"]) == (
        ("shop.example", 81),
        None,
        "http",
    )
    assert (b"transfer-encoding", b"chunked") in scopes[2]["headers"]


async def test_a_body_streams_both_ways_and_nothing_is_pulled_ahead(ask) -> None:
    pulled: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for number in range(1000):
            pulled.append(number)
            yield b"x" * 32_768

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    async with serving(echo) as served:
        response = await served.send(ask("POST", body=body()))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(pulled) <= 4  # 64 KiB wait to be taken, one piece is in hand, one is asked for
        total = sum([len(piece) async for piece in response.body])
        await response.aclose(Outcome.COMPLETE)
    assert total == 1000 * 32_768


async def test_a_head_request_and_a_304_have_no_body(ask, read) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = 304 if scope["path"] == "/304" else 200
        await answer(send, status, b"body", content_length=b"4")

    async with serving(app) as served:
        head = await served.send(ask("HEAD"))
        assert (await read(head), head.content_length) == (b"", 4)
        assert await read(await served.send(ask(path=b"/304"))) == b""


async def test_what_goes_wrong_in_the_application_is_a_502(ask, caplog) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("secret")

    async def wrong_length(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, body=b"abc", content_length=b"4")

    async def wrong_status(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 99)

    async def body_first(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": b""})

    for app in (silent, broken, wrong_length, wrong_status, body_first):
        served = upstream(app)
        with pytest.raises(BadGateway) as caught:
            await served.send(ask())
        assert "secret" not in str(caught.value)
        assert "test" in caught.value.detail
        await served.aclose()
    assert "ValueError: secret" in caplog.text


async def test_an_exception_after_the_answer_is_logged_as_well(ask, read, caplog) -> None:
    app = FastAPI()

    @app.get("/")
    async def broken() -> None:
        raise ValueError("why it failed")

    async with serving(app) as served:
        response = await served.send(ask())
        assert (response.status, await read(response)) == (500, b"Internal Server Error")
        await asyncio.sleep(0)
    assert "ValueError: why it failed" in caplog.text


async def test_a_response_that_breaks_off_is_never_taken_for_whole(ask) -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if scope["path"] == "/raises":
            raise ValueError("no more")

    for path in (b"/", b"/raises"):
        async with serving(half) as served:
            response = await served.send(ask(path=path))
            got = []
            with pytest.raises(BadGateway):  # noqa: PT012 what came before counts
                async for piece in response.body:
                    got.append(piece)
            assert got == [b"half"]
            await response.aclose(Outcome.ABORTED)


async def test_a_clients_leaving_reaches_the_application(ask, eventually) -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        told.append((await receive())["type"])
        with pytest.raises(ConnectionResetError):
            await send({"type": "http.response.body", "body": b"y", "more_body": True})
        told.append("refused")

    async with serving(app) as served:
        response = await served.send(ask())
        await response.aclose(Outcome.ABORTED)
        await eventually(lambda: told == ["http.disconnect", "refused"], 2)
        await eventually(lambda: served.counts[TARGET].held == 0, 2)


async def test_a_streaming_fastapi_response_stops_when_nobody_reads_it(ask, eventually) -> None:
    ended = []
    app = FastAPI()

    @app.get("/")
    async def events() -> StreamingResponse:
        async def forever() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"data: x\n\n"
                    await asyncio.sleep(0.01)
            finally:
                ended.append(True)

        return StreamingResponse(forever(), media_type="text/event-stream")

    async with serving(app) as served:
        response = await served.send(ask())
        assert await anext(aiter(response.body))
        await response.aclose(Outcome.ABORTED)
        await eventually(lambda: ended == [True], 2)


async def test_a_cancelled_request_frees_its_slot(ask, eventually) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()  # until the client leaves

    async with serving(app, pool={"connections": 1}) as served:
        waiting = asyncio.create_task(served.send(ask()))
        await eventually(lambda: served.counts[TARGET].held == 1, 2)
        waiting.cancel()
        await asyncio.wait([waiting])
        await eventually(lambda: served.counts[TARGET].held == 0, 2)


async def test_calls_are_bounded_and_who_waits_gets_the_next_slot(ask, read, eventually) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await answer(send)

    async with serving(app, pool={"connections": 2, "waiting": 1}) as served:
        tasks = [asyncio.create_task(served.send(ask())) for _ in range(4)]
        await eventually(lambda: served.counts[TARGET].waiting == 1, 2)
        await asyncio.wait([tasks[3]])
        assert isinstance(tasks[3].exception(), UpstreamUnavailable)
        go.set()
        assert [await read(await task) for task in tasks[:3]] == [b"ok"] * 3
        await eventually(lambda: served.counts[TARGET].held == 0, 2)


async def test_who_waits_too_long_for_a_slot_is_told_and_leaves_nothing(ask) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await answer(send)

    async with serving(app, pool={"connections": 1}, timeouts={"connect": 0.05}) as served:
        first = asyncio.create_task(served.send(ask()))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamUnavailable):
            await served.send(ask())
        assert served.counts[TARGET].waiting == 0
        go.set()
        await (await first).aclose(Outcome.COMPLETE)


async def test_an_application_that_does_not_answer_in_time_is_a_504(ask) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.Event().wait()

    async with serving(slow, timeouts={"first_byte": 0.1, "body_progress": 0.1}) as served:
        with pytest.raises(GatewayTimeout):
            await served.send(ask())
        response = await served.send(ask(path=b"/begun"))
        with pytest.raises(GatewayTimeout):
            async for _ in response.body:
                pass
        await response.aclose(Outcome.ABORTED)


async def test_a_slow_client_is_not_the_applications_fault(ask) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(4):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def late() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.4)
        yield b"late"

    async with serving(app, timeouts={"first_byte": 0.1, "body_progress": 0.1}) as served:
        response = await served.send(ask("POST", body=late()))
        await asyncio.sleep(0.4)
        assert sum([len(piece) async for piece in response.body]) == 4 * 65536
        await response.aclose(Outcome.COMPLETE)


@pytest.mark.parametrize(
    "sent, length, error",
    [([b"abc"], 4, PolicyFailed), ([b"abcde"], 4, PolicyFailed), (None, None, ContentTooLarge)],
)
async def test_an_upload_that_fails_is_the_clients_error(ask, sent, length, error) -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in sent or [b"x"]:
            yield piece
        if sent is None:
            raise ContentTooLarge

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            pass
        assert message["type"] == "http.disconnect"

    async with serving(app) as served:
        with pytest.raises(error):
            await served.send(ask("POST", body=body(), content_length=length))


async def test_a_receive_that_is_given_up_loses_nothing_of_the_body(ask, read) -> None:
    came = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await came.wait()
        yield b"first "
        yield b"second"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await receive()
        came.set()
        whole = b""
        while (message := await receive())["more_body"]:
            whole += message["body"]
        await answer(send, body=whole + message["body"])

    async with serving(app) as served:
        assert await read(await served.send(ask("POST", body=body()))) == b"first second"


# Importing and the lifespan.


def module(tmp_path: Path, name: str, text: str) -> AsgiApps:
    (tmp_path / f"{name}.py").write_text(text)
    return AsgiApps(tmp_path)


@pytest.fixture
def path(monkeypatch, tmp_path):
    """What a test imports is forgotten."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    "target, text, said",
    [
        ("asgi:tg_none.main:app", "", "there is no module tg_none"),
        ("asgi:tg_app:other", "app = 1", "module tg_app has no other"),
        ("asgi:tg_app:app", "app = 1", "no ASGI application but a int"),
        ("asgi:tg_app:app", "import nothing_there", "importing it raised ModuleNotFoundError"),
        ("asgi:tg_app:app", "\nboom(", "/tg_app.py:2: '(' was never closed"),
        ("asgi:tg_app:app", "1 / 0", "importing it raised ZeroDivisionError"),
        ("asgi:tg_app:app", "def app(environ, start_response): ...", "takes scope, receive"),
        ("asgi:tg_app:make", "def make(): ...", "a factory is written with ()"),
        ("asgi:tg_app:make()", "def make(): 1 / 0", "calling it raised ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_is_told_with_the_target(path, target, text, said) -> None:
    with pytest.raises(TargetNotLoaded) as caught:
        module(path, "tg_app", text).app(target)
    assert target in str(caught.value)
    assert said in str(caught.value)


def test_two_services_of_one_target_share_the_application(path) -> None:
    apps = module(path, "tg_app", "async def app(scope, receive, send): ...\nmade = lambda: app")
    services = [
        Service.model_validate({"name": name, "targets": [target], "routes": (Route(name="r"),)})
        for name, target in (("a", "asgi:tg_app:app"), ("b", "asgi:tg_app:app"))
    ]
    first, second = (upstream_of(service, apps) for service in services)
    assert first._app is second._app
    assert apps.app("asgi:tg_app:made()").call is first._app.call


async def test_startup_and_shutdown_run_once_and_state_reaches_each_request(ask, read) -> None:
    happened = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        happened.append("up")
        yield {"pool": SimpleNamespace(name="db")}
        happened.append("down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def root(request: Request) -> str:
        return request.state.pool.name

    served = upstream(app)
    await served.start()
    await served.start()
    assert [await read(await served.send(ask())) for _ in range(2)] == [b'"db"'] * 2
    assert happened == ["up"]
    await served.aclose()
    await served.aclose()
    assert happened == ["up", "down"]


async def test_a_startup_that_fails_is_told(caplog) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(TargetNotLoaded, match="no database"):
        await upstream(FastAPI(lifespan=lifespan)).start()


async def test_an_application_without_a_lifespan_is_served_without_one(ask, read) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await answer(send)

    async with serving(app) as served:
        await served.start()
        assert await read(await served.send(ask())) == b"ok"


async def test_what_is_under_way_at_the_end_is_cancelled(ask, eventually) -> None:
    cancelled = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    served = upstream(app)
    waiting = asyncio.create_task(served.send(ask()))
    await eventually(lambda: served.counts[TARGET].held == 1, 2)
    await asyncio.sleep(0)
    await served.aclose()
    with pytest.raises(BadGateway):
        await waiting
    assert cancelled == [True]
