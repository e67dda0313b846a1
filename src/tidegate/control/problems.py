"""Every error of the admin API as a problem (RFC 9457), FastAPI's and Starlette's own included.

What a validation error quotes is its place and pydantic's words, never the input: a body may hold
a secret. Only what nobody expected is logged with its traceback, by the server; its answer says
nothing about it.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from tidegate.config.limit_mistakes import of_another_kind
from tidegate.config.limits import KINDS
from tidegate.control.errors import InvalidRequest, NoSuchPath
from tidegate.http import GatewayError, problem_response
from tidegate.http.errors import MethodNotAllowed

logger = logging.getLogger("tidegate.control")

ERRORS_MAX: Final = 20
"""Of a body that is wrong in many places, these are told."""
PLACE_CHARACTERS_MAX: Final = 200

_PYDANTICS_OWN: Final = frozenset(("constrained-str", *KINDS))
"""Steps of a place that name a validator or a kind of limit, not a field."""


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error of `app` with a problem. `routes` are all that it has."""
    app.state.every_route = tuple(routes)
    app.add_exception_handler(GatewayError, _of_ours)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _of_nobody)


def answer(error: GatewayError) -> Response:
    """Return the answer for `error`."""
    problem = problem_response(error)
    response = Response(problem.body if isinstance(problem.body, bytes) else b"", problem.status)
    length = (b"content-length", b"%d" % len(response.body))
    response.raw_headers = [*problem.headers, length]
    if error.closes_connection:
        response.raw_headers.append((b"connection", b"close"))
    return response


async def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 the type it was installed for
    if error.status >= 500:
        logger.error("%s %s: %s", request.method, request.url.path, error)
    return answer(error)


async def _of_the_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 the type it was installed for
    headers = tuple(
        (name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()
    )
    if error.status_code == 404:
        return answer(NoSuchPath("The paths are in /openapi.json", headers=headers))
    if error.status_code == 405:
        return answer(_not_allowed(request))
    if error.status_code == 400:
        return answer(InvalidRequest("The body cannot be read", headers=headers))
    return answer(GatewayError(headers=headers))


def _not_allowed(request: Request) -> MethodNotAllowed:
    """Starlette's own Allow names the methods of the first operation of the path alone."""
    methods: set[str] = set()
    for route in request.app.state.every_route:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    allowed = ", ".join(sorted(methods))
    return MethodNotAllowed(f"This path takes {allowed}", headers=((b"allow", allowed.encode()),))


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 the type it was installed for
    # That an optional field is not null either is no news to anybody.
    told = [detail for detail in error.errors() if detail["type"] != "none_required"]
    errors = [_described(detail) for detail in told[:ERRORS_MAX]]
    first = errors[0] if errors else {"in": "the request", "message": "it is not valid"}
    return answer(InvalidRequest(f"{first['in']}: {first['message']}", members={"errors": errors}))


async def _of_nobody(request: Request, error: Exception) -> Response:
    return answer(GatewayError("The log of the control process says why"))


def _described(detail: dict[str, Any]) -> dict[str, str]:
    steps = detail.get("loc", ())
    message = str(detail.get("msg", "")).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        is_of_limit = len(steps) > 1 and steps[-2] in KINDS
        message = (is_of_limit and of_another_kind(str(steps[-1]))) or "unknown field"
    return {"in": _place(steps), "message": message}


def _place(steps: Sequence[Any]) -> str:
    """Return `body.limits.0.rate`. A step may be a field's name that the client chose."""
    place = ".".join(str(step) for step in steps if step not in _PYDANTICS_OWN)
    place = place[:PLACE_CHARACTERS_MAX]
    return place.encode("utf-8", "replace").decode()
