"""Keys and limits on a FastAPI app's own routes, and an app as a service."""

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse

from tidegate.asgi import Gateway
from tidegate.config import Config
from tidegate.fastapi import Caller, CurrentCaller, current_caller, install, limit
from tidegate.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples"
FREE, PREMIUM = {"X-API-Key": "free-key"}, {"Authorization": "Bearer premium-key"}
LIMITS = [{"name": "steady", "rate": "1/h", "burst": 10}]
CONFIG = Config.model_validate(
    {
        "version": 1,
        "plans": {
            "free": {"limits": LIMITS, "allow": [{"route": "reports", "methods": ["GET"]}]},
            "premium": {"limits": LIMITS},
        },
        "tenants": [
            {"name": plan, "plan": plan, "keys": [{"name": plan, "value": f"{plan}-key"}]}
            for plan in ("free", "premium")
        ],
        "services": [
            {
                "name": "s",
                "targets": ["http://127.0.0.1:9"],
                "routes": [{"name": "reports", "paths": ["/reports"]}],
            }
        ],
    }
)

Run = Callable[..., Any]


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the app's lifespan, as a server does, around a client of it."""
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@pytest.fixture
async def run(valkey: Store) -> AsyncIterator[Run]:
    """`await run(app, **options)` installs a gateway on an empty store and gives a client."""
    async with AsyncExitStack() as stack:

        async def start(app: FastAPI, **options: Any) -> httpx2.AsyncClient:
            install(app, Gateway(CONFIG, data_dir=Path(), store=valkey), **options)
            return await stack.enter_async_context(running(app))

        yield start


def remaining(answer: httpx2.Response) -> str | None:
    value: str | None = answer.headers.get("x-ratelimit-remaining")
    return value


async def test_the_current_caller_is_asked_for_and_costs_nothing(run: Run) -> None:
    app = FastAPI()

    @app.get("/me")
    async def me(caller: Annotated[Caller, Depends(current_caller)]) -> str:
        return f"{caller.tenant} {caller.plan}"

    client = await run(app)
    answer = await client.get("/me", headers=PREMIUM)
    assert (answer.json(), remaining(answer)) == ("premium premium", None)
    assert answer.headers["x-request-id"]
    refused = await client.get("/me")
    assert (refused.status_code, refused.json()["type"]) == (
        401,
        "urn:tidegate:problem:unauthorized",
    )
    assert refused.headers["content-type"] == "application/problem+json"
    assert "ApiKey" in refused.headers["www-authenticate"]
    assert refused.headers["x-request-id"]


async def test_every_way_to_write_a_limit_charges_the_same_bucket(run: Run) -> None:
    app = FastAPI()

    @app.get("/a/{name}")
    @limit("search", cost=2)
    async def decorated(name: str, q: int = 1) -> dict[str, Any]:
        return {"name": name, "q": q}

    @app.get("/b")
    @limit("search")
    def sync() -> str:
        return "sync"

    @app.get("/c")
    async def parameter(caller: Annotated[Caller, Depends(limit("search", cost=2))]) -> str:
        return caller.plan

    router = APIRouter(dependencies=[Depends(limit("search"))])

    @router.get("/d")
    async def routed() -> str:
        return "routed"

    app.include_router(router)
    client = await run(app)
    for path, body, left in (
        ("/a/x?q=7", {"name": "x", "q": 7}, "8"),
        ("/b", "sync", "7"),
        ("/c", "premium", "5"),
        ("/d", "routed", "4"),
    ):
        answer = await client.get(path, headers=PREMIUM)
        assert (answer.json(), remaining(answer)) == (body, left)
        assert answer.headers["x-ratelimit-limit"] == "10"
        assert answer.headers["ratelimit-policy"].startswith('"steady";q=10')


async def test_a_refusal_is_the_gateways_429_and_reaches_no_endpoint(run: Run) -> None:
    app, calls = FastAPI(), []

    @app.get("/search")
    @limit("search", cost=4)
    async def search() -> str:
        calls.append(1)
        return "found"

    client = await run(app)
    answers = [await client.get("/search", headers=PREMIUM) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert len(calls) == 2
    problem = answers[2].json()
    assert problem["violated-policies"] == ["steady"]
    assert int(answers[2].headers["retry-after"]) > 0
    assert len(answers[2].headers.get_list("x-ratelimit-remaining")) == 1
    assert remaining(answers[2]) == "2"


async def test_the_fields_are_on_streams_and_on_errors_of_the_apps_own(run: Run) -> None:
    app = FastAPI()

    @app.get("/{kind}")
    @limit("search")
    async def endpoint(kind: str) -> Any:
        if kind == "stream":

            async def rows() -> AsyncIterator[bytes]:
                yield b"one "
                yield b"two"

            return StreamingResponse(rows())
        if kind == "own":
            return JSONResponse({}, headers={"X-RateLimit-Limit": "77"})
        if kind == "404":
            raise HTTPException(404)
        raise ValueError(kind)

    @app.exception_handler(Exception)
    async def unforeseen(_: Any, error: Exception) -> JSONResponse:
        return JSONResponse({"own": "handler"}, 500)

    client = await run(app)
    stream = await client.get("/stream", headers=PREMIUM)
    assert (stream.text, remaining(stream)) == ("one two", "9")
    own = await client.get("/own", headers=PREMIUM)
    assert own.headers.get_list("x-ratelimit-limit") == ["10"]
    missing = await client.get("/404", headers=PREMIUM)
    assert (missing.status_code, remaining(missing)) == (404, "7")
    failed = await client.get("/500", headers=PREMIUM)
    assert (failed.json(), remaining(failed)) == ({"own": "handler"}, "6")


async def test_what_asks_for_no_key_is_left_alone(run: Run) -> None:
    app = FastAPI()

    @app.get("/open")
    async def open_to_all() -> str:
        return "open"

    answer = await (await run(app)).get("/open")
    assert (answer.status_code, "x-request-id" in answer.headers) == (200, False)


async def test_a_plan_that_names_its_routes_must_name_this_one(run: Run) -> None:
    app = FastAPI()

    @app.api_route("/own-reports", methods=["GET", "POST"])
    @limit("reports")
    async def reports() -> str:
        return "reports"

    @app.get("/search")
    @limit("search")
    async def search() -> str:
        return "found"

    client = await run(app)
    refused = await client.get("/search", headers=FREE)
    assert refused.status_code == 403
    assert refused.json()["entitled-plans"] == ["premium"]
    assert (await client.post("/own-reports", headers=FREE)).status_code == 403
    allowed = await client.get("/own-reports", headers=FREE)
    assert (allowed.status_code, remaining(allowed)) == (200, "9")


async def test_a_thousand_at_once_get_exactly_the_burst(run: Run) -> None:
    app = FastAPI()

    @app.get("/search")
    @limit("search")
    async def search() -> str:
        return "found"

    client = await run(app)
    answers = await asyncio.gather(*(client.get("/search", headers=PREMIUM) for _ in range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (10, 90)


async def test_guessing_is_throttled_here_too(run: Run) -> None:
    app = FastAPI()

    @app.get("/me")
    async def me(caller: CurrentCaller) -> str:
        return caller.plan

    client = await run(app)
    wrong = {"X-API-Key": "wrong"}
    statuses = [(await client.get("/me", headers=wrong)).status_code for _ in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    assert (await client.get("/me", headers=PREMIUM)).status_code == 200


async def test_openapi_shows_the_key_and_nothing_of_the_limit(run: Run) -> None:
    app = FastAPI()

    @app.get("/search")
    @limit("search", cost=5)
    async def search(q: str) -> list[str]:
        """Find things."""
        return [q]

    client = await run(app)
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/search"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["q"]
    assert operation["summary"] == "Search"
    assert operation["description"] == "Find things."
    assert {name for scheme in operation["security"] for name in scheme} == {"ApiKey", "BearerKey"}
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"


async def test_the_mounted_gateway_serves_what_no_route_of_the_app_takes(run: Run) -> None:
    app = FastAPI()

    @app.get("/own")
    async def own() -> str:
        return "own"

    client = await run(app, mount="/")
    assert (await client.get("/own")).json() == "own"
    assert (await client.get("/health")).json() == {"status": "alive"}
    assert (await client.get("/reports")).status_code == 401


async def test_a_limit_above_the_route_is_told_at_the_start(valkey: Store) -> None:
    app, router = FastAPI(), APIRouter()

    @limit("search")
    @router.get("/search")
    async def search() -> str:
        return "found"

    app.include_router(router)
    install(app, Gateway(CONFIG, data_dir=Path(), store=valkey))
    with pytest.raises(RuntimeError, match="below the decorator"):
        async with running(app):
            pass


async def test_without_an_open_gateway_the_answer_says_which_line_to_add() -> None:
    app = FastAPI()

    @app.get("/me")
    async def me(caller: CurrentCaller) -> str:
        return caller.plan

    install(app, "nowhere.yaml")
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/me")
    assert answer.status_code == 500
    assert "tidegate.fastapi.install" in answer.json()["detail"]


def test_a_cost_below_one_is_told_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        limit("search", cost=0)


async def test_the_example_of_limits_on_routes_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, short_dir: Path
) -> None:
    config = short_dir / "tidegate.yaml"
    config.write_text(
        "version: 1\n"
        "plans: {exact: {rate: 1/h, burst: 10}}\n"
        "tenants: [{name: acme, plan: exact, keys: [{name: laptop, value: free-key}]}]\n"
        "services: [{name: s, targets: ['asgi:asgi_target:app'], routes: [{name: hello,"
        " paths: [/hello]}]}]\n"
    )
    monkeypatch.setenv("TIDEGATE_CONFIG", str(config))
    monkeypatch.setenv("TIDEGATE_DATA_DIR", str(short_dir / "data"))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    app = importlib.import_module("fastapi_limits").app
    async with running(app) as client:
        assert (await client.get("/whoami", headers=FREE)).json() == {
            "tenant": "acme", "plan": "exact", "key": "laptop",
        }  # fmt: skip
        found = await client.get("/search?q=x", headers=FREE)
        assert (found.json(), remaining(found)) == ({"found": ["x"]}, "5")
        exported = await client.get("/export", headers=FREE)
        assert (exported.text, remaining(exported)) == ("row 0\nrow 1\nrow 2\n", "4")
        # The gateway's own route, to a service that is an application as well: one bucket.
        hello = await client.get("/hello", headers=FREE)
        assert (hello.json(), remaining(hello)) == ({"text": "Hello, acme"}, "3")
        assert (await client.get("/search?q=x", headers=FREE)).status_code == 429


async def test_the_example_of_a_service_without_a_socket(
    running_gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES), os.environ["PYTHONPATH"]]))
    config = (EXAMPLES / "asgi_target.yaml").read_text()
    gateway = running_gateway(config=config, workers=2)
    answer = await gateway.get("/hello", "X-API-Key: user_1\r\n")
    assert (answer.status, answer.body) == (200, b'{"text":"Hello, demo"}')
    assert b"x-ratelimit-limit: 10" in answer.head
    assert (await gateway.get("/hello")).status == 401


async def test_a_target_that_cannot_be_imported_ends_the_start_in_words(
    running_gateway: Any,
) -> None:
    config = (EXAMPLES / "asgi_target.yaml").read_text().replace("asgi_target:app", "tg_none:app")
    gateway = running_gateway(config=config, workers=1, expect_ready=False)
    assert await gateway.ended() != 0
    assert "target asgi:tg_none:app: there is no module tg_none in" in gateway.said()
    assert "Traceback" not in gateway.said()
