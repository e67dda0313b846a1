"""A gateway around an app: opened with its lifespan, closed after it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi import Response as HttpResponse

from tidegate.asgi import Gateway
from tidegate.fastapi.answers import Answers
from tidegate.fastapi.endpoints import MARK, limit
from tidegate.fastapi.visit import Home, failed
from tidegate.gateway import GatewayNotOpen
from tidegate.http import GatewayError, problem_response


def install(app: FastAPI, config: str | Path | Gateway, *, mount: str | None = None) -> None:
    """Open a gateway whenever `app` runs, around the app's own lifespan.

    `config` is the configuration, or a gateway that is not open yet. `mount="/"` has the gateway
    serve its own routes as well, for every path that no route of the app takes.
    """
    if app.middleware_stack is not None:
        raise RuntimeError("install the gateway before the app serves its first request")
    home = Home(config)
    own_lifespan, own_stack = app.router.lifespan_context, app.build_middleware_stack

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[Any]:
        _check_order(app.routes)
        async with home.opened(app, mount), own_lifespan(running) as state:
            yield state

    app.router.lifespan_context = lifespan
    # Around everything, as no added middleware is: the answer to an unforeseen error counts too.
    app.build_middleware_stack = lambda: Answers(own_stack(), home)  # type: ignore[method-assign]
    app.add_exception_handler(GatewayError, _problem)


async def _problem(request: HttpRequest, error: Exception) -> HttpResponse:
    told = error if isinstance(error, GatewayError) else GatewayError()
    if isinstance(error, GatewayNotOpen):
        told = GatewayError(str(error))
    failed(request.scope, told)
    response = problem_response(told)
    answer = HttpResponse(response.body, response.status)
    answer.raw_headers.extend(response.headers)
    return answer


def _check_order(routes: Iterable[Any]) -> None:
    """A decorator above the route's limits a copy that nobody calls, and a dependency without a
    name nothing."""
    for route in routes:
        # An included router is kept as it is by newer FastAPI, and copied by older.
        _check_order(getattr(getattr(route, "original_router", route), "routes", ()) or ())
        endpoint = getattr(route, "endpoint", None)
        name = getattr(endpoint, "__name__", endpoint)
        if getattr(endpoint, MARK, False):
            raise RuntimeError(f"{name}: write @limit(…) below the decorator of its route")
        if _has_bare_limit(getattr(route, "dependant", None)):
            raise RuntimeError(
                f'{name}: write Depends(limit("search")), with the name of the limit'
            )


def _has_bare_limit(dependant: Any) -> bool:
    """Whether the class itself is a dependency: its name would be what the client asks for."""
    needed = getattr(dependant, "dependencies", ())
    return any(one.call is limit or _has_bare_limit(one) for one in needed)
