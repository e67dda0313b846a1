"""Keys, plans and limits on the routes of your own FastAPI app, on the gateway's own buckets.

`install(app, "gateway.yaml")` opens a gateway with the app; then `Depends(current_caller)` says who
calls, and `@limit("search", cost=5)` below `@app.get(…)` charges the caller's plan. Errors are the
gateway's problems; every answer of a charged request tells the limits, streamed ones and errors of
your own too. Nothing here decides: the policies of the gateway do.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, FastAPI, Security
from fastapi import Request as HttpRequest
from fastapi import Response as HttpResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from tidegate.asgi import Gateway
from tidegate.edge.asgi import Receive, Scope, Send
from tidegate.gateway import GatewayNotOpen
from tidegate.http import GatewayError, HeaderField, Headers, Response, problem_response
from tidegate.http.message import Request
from tidegate.identity import Caller
from tidegate.policies import Context, RequestIdentity
from tidegate.policies.answer_fields import LIMIT_FIELDS
from tidegate.policies.authenticate import Recognition
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.entitle import Entitlement
from tidegate.policies.limit import Limit

__all__ = ["Caller", "CurrentCaller", "current_caller", "install", "limit"]

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

_VISIT: Final = "tidegate.visit"
_MARK: Final = "_tidegate_limits_a_copy"
_KEY: Final = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_BEARER: Final = HTTPBearer(scheme_name="BearerKey", auto_error=False)
_NOT_INSTALLED: Final = (
    'the gateway is not open: write `tidegate.fastapi.install(app, "gateway.yaml")` where the app '
    "is made, and let the server run its lifespan (in tests: `with TestClient(app)`)"
)


def install(app: FastAPI, config: str | Path | Gateway, *, mount: str | None = None) -> None:
    """Open a gateway whenever `app` runs, around the app's own lifespan.

    `config` is the configuration, or a gateway that is not open yet. `mount="/"` has the gateway
    serve its own routes as well, for every path that no route of the app takes.
    """
    if app.middleware_stack is not None:
        raise RuntimeError("install the gateway before the app serves its first request")
    home = _Home(config)
    own_lifespan, own_stack = app.router.lifespan_context, app.build_middleware_stack

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[Any]:
        _check_order(app.routes)
        async with home.opened(app, mount), own_lifespan(running) as state:
            yield state

    app.router.lifespan_context = lifespan
    # Around everything, as no added middleware is: the answer to an unforeseen error counts too.
    app.build_middleware_stack = lambda: _Fields(own_stack(), home)  # type: ignore[method-assign]
    app.add_exception_handler(GatewayError, _problem)


async def current_caller(
    request: HttpRequest,
    _key: Annotated[str | None, Security(_KEY)] = None,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
) -> Caller:
    """Who calls, by the same key as at the gateway; without one the answer is a 401 problem."""
    return await _visit(request).caller()


CurrentCaller = Annotated[Caller, Depends(current_caller)]
"""For a parameter: `async def search(caller: CurrentCaller)`."""


class limit:  # noqa: N801 - used as a decorator
    """Charges the caller's plan `cost`, or refuses with a 429 problem: `@limit("search", cost=5)`.

    A decorator below `@app.get(…)`, or a dependency: `Depends(limit("search", cost=5))`, also in
    `dependencies=[…]` of a router. A plan that names its routes (`allow`) must name this one too:
    it is a route of the configuration then.
    """

    def __init__(self, name: str, *, cost: int = 1) -> None:
        if cost < 1:
            raise ValueError("a request costs at least 1")
        self._name = name
        self._cost = cost
        charged = inspect.Parameter(
            "charged",
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[Caller, Depends(self._charge)],
        )
        self._parameter = charged.replace(name=f"_charged_{id(self)}")
        self.__signature__ = inspect.Signature([charged])
        """What FastAPI sees of `__call__` where this is a dependency."""

    def __call__(self, endpoint: Any = None, *, charged: Caller | None = None) -> Any:
        """Return the caller that was charged; as a decorator, the endpoint that charges first."""
        return charged if endpoint is None else self._decorated(endpoint)

    async def _charge(self, request: HttpRequest, caller: CurrentCaller) -> Caller:
        await _visit(request).charge(caller, self._name, self._cost)
        return caller

    def _decorated(self, endpoint: EndpointT) -> EndpointT:
        name = self._parameter.name
        if inspect.iscoroutinefunction(endpoint):

            @wraps(endpoint)
            async def charging(*args: Any, **values: Any) -> Any:
                del values[name]
                return await endpoint(*args, **values)
        else:

            @wraps(endpoint)
            def charging(*args: Any, **values: Any) -> Any:
                del values[name]
                return endpoint(*args, **values)

        charging.__signature__ = _with(self._parameter, endpoint)  # type: ignore[attr-defined]
        setattr(endpoint, _MARK, True)
        return charging  # type: ignore[return-value]


class _Home:
    """The gateway of one app, while the app runs."""

    def __init__(self, config: str | Path | Gateway) -> None:
        self._config = config
        self.identity = RequestIdentity()
        self.gateway: Gateway | None = None
        self.recognition: Recognition | None = None
        """Open as long as the gateway."""

    @asynccontextmanager
    async def opened(self, app: FastAPI, mount: str | None) -> AsyncIterator[None]:
        config = self._config
        made = config if isinstance(config, Gateway) else Gateway.from_file(config)
        async with made as gateway:
            parts = gateway.parts
            proxies = TrustedProxies(parts.listen.trusted_proxies)
            self.recognition = Recognition(parts.resolver, parts.throttle, proxies)
            self.gateway = gateway
            routes = app.router.routes.copy()
            if mount is not None:
                app.mount(mount, gateway)
            try:
                yield
            finally:
                self.gateway = self.recognition = None
                app.router.routes[:] = routes


class _Visit:
    """What the gateway knows about one request to the app."""

    def __init__(self, home: _Home, scope: Scope) -> None:
        if home.gateway is None or home.recognition is None:
            raise GatewayNotOpen(_NOT_INSTALLED)
        self._gateway = home.gateway
        self._recognition = home.recognition
        client = scope.get("client")
        self._request: Request[Context] = Request(
            scope["method"],
            b"/",
            Headers((name.lower(), value.strip(b" \t")) for name, value in scope["headers"]),
            client=client[0] if client else "",
        )
        self._request.context = context = Context(None, None, home.gateway.store)
        home.identity.ask(self._request, context)
        self.fields: list[HeaderField] = []
        """The limits' fields, as the last decision says them."""

    @property
    def request_id(self) -> bytes:
        return self._request.context.request_id

    async def caller(self) -> Caller:
        context = self._request.context
        if context.caller is None:
            context.caller = await self._recognition.caller(self._request)
        return context.caller

    async def charge(self, caller: Caller, name: str, cost: int) -> None:
        parts, request = self._gateway.parts, self._request
        if caller.grants is not None:
            entitlement = Entitlement(name, parts.plans)
            if not entitlement.covers(caller, request.method):
                raise entitlement.refusal(caller, request.method)
        request.context.pending_limits = None  # of an earlier charge
        request.context.decision = None
        try:
            await Limit(parts.limiter, parts.subjects, cost)(request, _nothing)
        finally:
            decision = request.context.decision
            self.fields = [] if decision is None else list(decision.headers)


class _Fields:
    """Adds the limits' fields, and the request's id, to the answer of each request that asked."""

    def __init__(self, app: Any, home: _Home) -> None:
        self._app = app
        self._home = home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_VISIT] = visits = _Visits(self._home)

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start" and visits.visit is not None:
                message = {**message, "headers": _completed(message, visits.visit)}
            await send(message)

        await self._app(scope, receive, send_on)


class _Visits:
    """The visit of one request, once something asks for it."""

    def __init__(self, home: _Home) -> None:
        self._home = home
        self.visit: _Visit | None = None

    def of(self, scope: Scope) -> _Visit:
        if self.visit is None:
            self.visit = _Visit(self._home, scope)
        return self.visit


def _visit(request: HttpRequest) -> _Visit:
    visits: _Visits | None = request.scope.get(_VISIT)
    if visits is None:
        raise GatewayNotOpen(_NOT_INSTALLED)
    return visits.of(request.scope)


def _completed(message: Any, visit: _Visit) -> list[HeaderField]:
    dropped = {b"x-request-id", *(LIMIT_FIELDS if visit.fields else ())}
    fields: Iterable[HeaderField] = message.get("headers", ())
    kept = [field for field in fields if field[0].lower() not in dropped]
    return [*kept, *visit.fields, (b"x-request-id", visit.request_id)]


async def _nothing(_: Request[Context]) -> Response:
    """Stands for what follows the limit: here that is the endpoint, which FastAPI calls."""
    return Response(200)


async def _problem(_: HttpRequest, error: Exception) -> HttpResponse:
    told = error if isinstance(error, GatewayError) else GatewayError()
    if isinstance(error, GatewayNotOpen):
        told = GatewayError(str(error))
    response = problem_response(told)
    answer = HttpResponse(response.body, response.status)
    answer.raw_headers.extend(response.headers)
    return answer


def _with(parameter: inspect.Parameter, endpoint: Callable[..., Any]) -> inspect.Signature:
    """Return the endpoint's signature with one more parameter, its annotations evaluated."""
    try:
        signature = inspect.signature(endpoint, eval_str=True)
    except NameError:  # FastAPI resolves what it can itself
        signature = inspect.signature(endpoint)
    own = list(signature.parameters.values())
    last = next((i for i, p in enumerate(own) if p.kind is p.VAR_KEYWORD), len(own))
    return signature.replace(parameters=[*own[:last], parameter, *own[last:]])


def _check_order(routes: Iterable[Any]) -> None:
    """A decorator above the route's limits a copy that nobody calls."""
    for route in routes:
        # An included router is kept as it is by newer FastAPI, and copied by older.
        _check_order(getattr(getattr(route, "original_router", route), "routes", ()) or ())
        endpoint = getattr(route, "endpoint", None)
        if getattr(endpoint, _MARK, False):
            name = getattr(endpoint, "__name__", endpoint)
            raise RuntimeError(f"{name}: write @limit(…) below the decorator of its route")
