"""`@limit` on an app's own routes goes by the same choice and the same leases as the gateway."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse

from tidegate.asgi import Gateway
from tidegate.config import Config
from tidegate.fastapi import install, limit
from tidegate.store import Store

KEY = {"X-API-Key": "key"}
CONFIG = Config.model_validate(
    {
        "version": 1,
        "limits": [{"name": "address", "rate": "1/h", "burst": 6, "per": "address"}],
        "plans": {
            "plan": {
                "limits": [{"name": "steady", "rate": "1/h", "burst": 9}],
                "routes": {
                    "search": {"limits": [{"name": "steady", "rate": "1/h", "burst": 2}]},
                    "slow": {
                        "limits": [
                            {"name": "parallel", "concurrency": 1},
                            {"name": "address", "rate": None},
                        ]
                    },
                },
            }
        },
        "tenants": [{"name": "acme", "plan": "plan", "keys": [{"name": "key", "value": "key"}]}],
        "services": [
            {
                "name": "s",
                "targets": ["http://127.0.0.1:9"],
                "routes": [
                    {"name": "search", "paths": ["/a"]},
                    {
                        "name": "users",
                        "paths": ["/b"],
                        "limits": [
                            {"name": "user", "rate": "1/h", "burst": 1, "per": "header:x-user"}
                        ],
                    },
                    {"name": "slow", "paths": ["/c"]},
                ],
            }
        ],
    }
)


class Slow:
    """Endpoints that run until they are let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/search", dependencies=[Depends(limit("search"))])
        async def search() -> str:
            return "found"

        @app.get("/users", dependencies=[Depends(limit("users"))])
        async def users() -> str:
            return "found"

        @app.get("/other", dependencies=[Depends(limit("other"))])
        async def other() -> str:
            return "other"

        @app.get("/slow", dependencies=[Depends(limit("slow"))])
        async def slow(fails: bool = False) -> str:
            self.begun.set()
            await self.go.wait()
            if fails:
                raise RuntimeError("the endpoint failed")
            return "slow"

        @app.get("/stream", dependencies=[Depends(limit("slow"))])
        async def stream() -> StreamingResponse:
            async def pieces() -> AsyncIterator[bytes]:
                self.begun.set()
                yield b"begun"
                await self.go.wait()
                yield b"ended"

            return StreamingResponse(pieces())

        @app.get("/twice", dependencies=[Depends(limit("slow")), Depends(limit("users"))])
        async def twice() -> str:
            return "twice"

        return app


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture
async def app(slow: Slow, valkey: Store) -> AsyncIterator[FastAPI]:
    app = slow.app()
    install(app, Gateway(CONFIG, data_dir=Path(), store=valkey))
    async with app.router.lifespan_context(app):
        yield app


async def get(app: FastAPI, path: str, client: str = "203.0.113.1", **headers: str) -> Any:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(client, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as asking:
        return await asking.get(path, headers=KEY | headers)


async def statuses(app: FastAPI, *paths: str, **options: Any) -> list[int]:
    return [(await get(app, path, **options)).status_code for path in paths]


async def test_what_the_configuration_says_of_a_route_of_that_name_holds(app: FastAPI) -> None:
    assert await statuses(app, *["/search"] * 3) == [200, 200, 429]
    answer = await get(app, "/other")
    assert answer.headers["x-ratelimit-limit"] == "6"
    assert '"steady";q=9' in answer.headers["ratelimit-policy"]


async def test_addresses_and_headers_count(app: FastAPI) -> None:
    assert await statuses(app, *["/other"] * 7) == [200] * 6 + [429]
    assert await statuses(app, "/other", client="203.0.113.2") == [200]
    missing = await get(app, "/users", client="203.0.113.2")
    assert (missing.status_code, missing.json()["header"]) == (400, "x-user")
    ada = {"X-User": "ada"}
    assert await statuses(app, "/users", "/users", client="203.0.113.2", **ada) == [200, 429]


async def test_without_the_store_they_go_on_from_what_was_left(app: FastAPI, valkey: Store) -> None:
    assert await statuses(app, "/search") == [200]
    await valkey.connection.aclose()
    answer = await get(app, "/search")
    assert answer.status_code == 200
    assert answer.headers["tidegate-degraded"] == "local"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert await statuses(app, "/search") == [429]


@pytest.mark.parametrize("path, status", [("/slow", 200), ("/slow?fails=1", 500), ("/stream", 200)])
async def test_a_lease_is_held_until_the_endpoints_answer_has_been_sent(
    app: FastAPI, slow: Slow, path: str, status: int
) -> None:
    first = asyncio.create_task(get(app, path))
    await slow.begun.wait()
    assert await statuses(app, "/slow") == [429]
    slow.go.set()
    assert (await first).status_code == status
    assert await statuses(app, "/slow", "/slow") == [200, 200]


async def test_a_lease_ends_when_the_client_goes(app: FastAPI, slow: Slow) -> None:
    """Pain point 4: a slot that is never given back after a cancel."""
    first = asyncio.create_task(get(app, "/slow"))
    await slow.begun.wait()
    first.cancel()
    await asyncio.wait([first])
    slow.go.set()
    assert await statuses(app, "/slow") == [200]


async def test_a_second_charge_that_refuses_ends_the_lease_of_the_first(app: FastAPI) -> None:
    assert (await get(app, "/twice")).status_code == 400
    assert await statuses(app, "/twice") == [400]


@pytest.mark.parametrize("place", ["endpoint", "route", "dependency"])
async def test_a_dependency_without_a_name_is_an_error_at_the_start(
    valkey: Store, place: str
) -> None:
    """`Depends(limit)` let the client name the limit, and charged nothing."""
    bare: Any = Depends(limit)

    def needed(_: Any = bare) -> None: ...

    app, depends = FastAPI(), {"route": [bare], "dependency": [Depends(needed)]}.get(place, [])

    @app.get("/bare", dependencies=depends)
    async def endpoint(_: Any = bare if place == "endpoint" else None) -> str:
        return "found"

    install(app, Gateway(CONFIG, data_dir=Path(), store=valkey))
    with pytest.raises(RuntimeError, match=r'endpoint: write Depends\(limit\("search"\)\)'):
        async with app.router.lifespan_context(app):
            pass


def test_what_is_no_name_or_cost_is_told_where_it_is_written() -> None:
    """`@limit` without parentheses answered 200 with the caller in place of the endpoint's."""

    def endpoint() -> str:
        return "found"

    bare: Any = limit
    with pytest.raises(TypeError, match=r'write @limit\("search"\)'):
        bare(endpoint)
    for cost in ("5", 2.5, True, None):
        with pytest.raises(TypeError, match="a cost is a whole number"):
            bare("search", cost=cost)
