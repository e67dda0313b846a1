"""An app's own routes in the gateway's telemetry, beside the gateway's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, StreamingResponse

from tests.end_to_end.test_fastapi_at_home import CONFIG, FREE, PREMIUM, running
from tidegate.asgi import Gateway
from tidegate.fastapi import CurrentCaller, install, limit
from tidegate.store import Store
from tidegate.telemetry import read_usage, recent_decisions


class Shop:
    """An app of that title with a gateway on an empty store."""

    def __init__(self, store: Store) -> None:
        self.app = FastAPI(title="shop")
        self.gateway = Gateway(CONFIG, data_dir=Path(), store=store)
        install(self.app, self.gateway)

    def told(self, name: str) -> dict[str, Any]:
        """What is counted of a metric, by the values of its labels; nothing that is 0."""
        series = self.gateway.telemetry.series().get(name, {})
        return {labels.replace("\x1f", " "): value for labels, value in series.items() if value}


@pytest.fixture
async def shop(valkey: Store) -> Shop:
    return Shop(valkey)


async def test_answers_are_counted_by_the_app_and_the_limit(shop: Shop) -> None:
    @shop.app.get("/search")
    @limit("search", cost=4)
    async def search(found: bool = True) -> str:
        if not found:
            raise HTTPException(404)
        return "found"

    @shop.app.get("/fails")
    @limit("fails")
    async def fails() -> None:
        raise RuntimeError("a mistake of the app's")

    @shop.app.get("/me")
    async def me(caller: CurrentCaller) -> str:
        return caller.plan

    @shop.app.get("/open")
    async def open_to_all() -> str:
        return "open"

    async with running(shop.app) as client:
        for path in ("/search", "/search?found=false", "/search", "/fails", "/me", "/open"):
            await client.get(path, headers=PREMIUM)
        await client.get("/me")
        await client.get("/search", headers=FREE)  # its plan does not have it
        assert shop.told("tidegate_requests") == {
            "shop search 200 upstream": 1,
            "shop search 404 upstream": 1,
            "shop search 429 gateway": 1,
            "shop search 403 gateway": 1,
            "shop fails 500 upstream": 1,
            "shop  200 upstream": 1,
            "shop  401 gateway": 1,
        }
        assert shop.told("tidegate_limit_decisions") == {
            "shop search admitted": 2,
            "shop search refused": 1,
            "shop fails admitted": 1,
        }
        assert shop.told("tidegate_limit_refusals") == {"premium steady": 1}
        assert shop.told("tidegate_response_bytes")["shop "] == len('"premium"')
        assert shop.told("tidegate_requests_aborted") == {}


async def test_usage_and_decisions_name_the_limit_for_a_route(shop: Shop, valkey: Store) -> None:
    @shop.app.get("/search")
    @limit("search", cost=6)
    async def search() -> str:
        return "found"

    async with running(shop.app) as client:
        for _ in range(2):
            await client.get("/search", headers=PREMIUM)
    now = int(time.time()) // 60
    rows = await read_usage(valkey, "premium", now - 1, now)
    used = [(row.route, row.requests, row.refused, row.bytes) for row in rows]
    assert used == [("search", 2, 1, len('"found"'))]
    async with aclosing(recent_decisions(valkey, 10)) as records:
        (refused,) = [record async for record in records if record["verdict"] == "refused"]
    assert (refused["service"], refused["route"], refused["cost"]) == ("shop", "search", 6)


async def test_every_limit_on_the_way_is_a_decision(shop: Shop) -> None:
    @shop.app.get("/", dependencies=[Depends(limit("outer"))])
    @limit("inner", cost=9)
    async def both() -> str:
        return "both"

    async with running(shop.app) as client:
        for _ in range(2):
            await client.get("/", headers=PREMIUM)
        assert shop.told("tidegate_limit_decisions") == {
            "shop outer admitted": 1,
            "shop inner admitted": 1,
            "shop outer refused": 1,
        }


async def test_a_stream_is_counted_whole_and_one_that_is_cut_as_aborted(shop: Shop) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"piece"
        if count > 2:
            raise ConnectionError("the client left")

    @shop.app.get("/{count}")
    @limit("stream")
    async def stream(count: int) -> StreamingResponse:
        return StreamingResponse(pieces(count))

    async with running(shop.app) as client:
        await client.get("/2", headers=PREMIUM)
        with pytest.raises(ConnectionError):
            await asked_for(shop.app, "/3")
        assert shop.told("tidegate_response_bytes") == {"shop stream": 25}
        assert shop.told("tidegate_requests_aborted") == {"shop stream": 1}
        assert shop.told("tidegate_requests") == {"shop stream 200 upstream": 2}


async def test_what_an_app_does_after_its_answer_is_no_part_of_it(shop: Shop) -> None:
    told: list[dict[str, Any]] = []

    @shop.app.get("/")
    @limit("work")
    async def work(tasks: BackgroundTasks) -> str:
        tasks.add_task(lambda: told.append(shop.told("tidegate_requests")))
        return "begun"

    async with running(shop.app) as client:
        await client.get("/", headers=PREMIUM)
        counted = {"shop work 200 upstream": 1}
        assert (told, shop.told("tidegate_requests")) == ([counted], counted)


async def test_a_file_that_the_server_sends_is_counted_whole(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    @shop.app.get("/")
    @limit("file")
    async def file() -> FileResponse:
        return FileResponse(path)

    async with running(shop.app):
        await asked_for(shop.app, "/", extensions={"http.response.pathsend": {}})
        assert shop.told("tidegate_response_bytes") == {"shop file": 5}
        assert shop.told("tidegate_requests_aborted") == {}


async def asked_for(app: FastAPI, path: str, **more: Any) -> None:
    """Ask as a server does, to meet what the app raises; `more` is of the scope."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(_: Any) -> None: ...

    headers = [(b"host", b"test"), (b"authorization", b"Bearer premium-key")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    await app(scope | more, receive, send)
