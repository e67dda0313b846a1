"""One request to the app, as the gateway knows it: who calls, what was charged, what to record.

It is made once something asks for it; requests that ask for nothing are left alone. Its meter has
the app's title for a service, and for a route the name of the limit that was charged last.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Self

from fastapi import FastAPI

from tidegate.asgi import Gateway
from tidegate.config import Route
from tidegate.edge.asgi import Scope
from tidegate.gateway import GatewayNotOpen
from tidegate.http import GatewayError, HeaderField, Headers, Outcome, Response
from tidegate.http.message import Request
from tidegate.identity import Caller
from tidegate.policies import Context, RequestIdentity
from tidegate.policies.answer_fields import LIMIT_FIELDS, OWN_FIELDS
from tidegate.policies.authenticate import Recognition
from tidegate.policies.cost import RouteCosts
from tidegate.policies.entitle import Entitlement
from tidegate.policies.limit import Limit
from tidegate.telemetry.meters import UPSTREAM
from tidegate.telemetry.recorder import CLIENT_GONE, Observed

_VISITS: Final = "tidegate.visits"
_NOT_INSTALLED: Final = (
    'the gateway is not open: write `tidegate.fastapi.install(app, "tidegate.yaml")` where the app '
    "is made, and let the server run its lifespan (in tests: `with TestClient(app)`)"
)


class Home:
    """The gateway of one app, while the app runs."""

    def __init__(self, config: str | Path | Gateway) -> None:
        self._config = config
        self.identity = RequestIdentity()
        self.gateway: Gateway | None = None
        self.recognition: Recognition | None = None
        """Open as long as the gateway."""
        self._limits: dict[tuple[str, int], tuple[Route, Limit]] = {}

    @asynccontextmanager
    async def opened(self, app: FastAPI, mount: str | None) -> AsyncIterator[None]:
        config = self._config
        made = config if isinstance(config, Gateway) else Gateway.from_file(config)
        async with made as gateway:
            parts = gateway.parts
            self.recognition = Recognition(parts.resolver, parts.throttle)
            self.gateway = gateway
            routes = app.router.routes.copy()
            if mount is not None:
                app.mount(mount, gateway)
            try:
                yield
            finally:
                self.gateway = self.recognition = None
                self._limits.clear()
                app.router.routes[:] = routes

    def limit(self, name: str, cost: int) -> tuple[Route, Limit]:
        """Return what `@limit(name, cost=cost)` charges: as a route of that name would, with what
        the configuration says of it if it has one."""
        found = self._limits.get((name, cost))
        if found is None:
            assert self.gateway is not None  # noqa: S101 - there is no visit while it is closed
            parts, known = self.gateway.parts, self.gateway.snapshot.routes
            said = next((one.route for one in known if one.route.name == name), None)
            route = (said or Route.model_construct(name=name)).model_copy(update={"cost": cost})
            costs = RouteCosts(cost)
            on_route = parts.subjects.on(route, costs.units)
            limit = Limit(
                parts.limiter,
                parts.borrower,
                parts.leases,
                on_route,
                parts.signals,
                costs,
                needs_caller=True,
            )
            found = self._limits[name, cost] = route, limit
        return found


class Visit:
    """What the gateway knows about one request to the app."""

    def __init__(self, home: Home, scope: Scope, started_at: float) -> None:
        if home.gateway is None or home.recognition is None:
            raise GatewayNotOpen(_NOT_INSTALLED)
        self._home = home
        self._gateway = home.gateway
        self._recognition = home.recognition
        self._recorder = home.gateway.telemetry.recorder
        self._service: str = scope["app"].title
        self._meter = self._recorder.meter(self._service, "")
        client = scope.get("client")
        path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        self._request: Request[Context] = Request(
            scope["method"],
            b"/",
            Headers((name.lower(), value.strip(b" \t")) for name, value in scope["headers"]),
            query=scope["query_string"] or None,
            client=client[0] if client else "",
        )
        self._request.context = context = Context(None, None, home.gateway.store, path, started_at)
        home.identity.ask(self._request, context)
        self._fields: list[HeaderField] = []
        """The limits' fields, as the last decision says them."""
        self._status = 0
        self._answered_at = 0.0
        self._size = 0
        self._sent: list[HeaderField] = []
        """The fields of the answer, as they left."""
        self.is_whole = False
        """Whether all of the answer has passed."""
        self._granted: list[Response] = []
        """What stands for the endpoint in each charge: a lease is held until it is closed."""
        self._is_recorded = False
        self.failure: GatewayError | None = None
        """What the gateway itself has answered."""

    async def caller(self) -> Caller:
        context = self._request.context
        if context.caller is None:
            context.caller = await self._recognition.caller(self._request)
        return context.caller

    async def charge(self, caller: Caller, name: str, cost: int) -> None:
        parts, request = self._gateway.parts, self._request
        context = request.context
        self._count_earlier_charge(context)
        self._meter = self._recorder.meter(self._service, name)
        if caller.grants is not None:
            entitlement = Entitlement(name, parts.plans)
            if not entitlement.covers(caller, request.method):
                raise entitlement.refusal(caller, request.method)
        context.route, limit = self._home.limit(name, cost)
        try:
            self._granted.append(await limit(request, _endpoint))
        finally:
            decision = context.decision
            self._fields = [] if decision is None else list(decision.headers)

    def _count_earlier_charge(self, context: Context) -> None:
        """A record holds one decision: that of another limit on the way is counted here."""
        if context.decision is not None:
            self._meter.limited += 1
        context.pending_limits = context.decision = None
        context.decided_at = 0.0

    def passed(self, message: Any) -> Any:
        """Return a message of the answer as it shall leave, and take note of it."""
        match message["type"]:
            case "http.response.start":
                self._status, self._answered_at = message["status"], perf_counter()
                self._sent = self._completed(message.get("headers", ()))
                return {**message, "headers": self._sent}
            case "http.response.body":
                self._size += len(message.get("body", b""))
                self.is_whole = not message.get("more_body", False)
            case "http.response.pathsend":
                # An extension of ASGI: the server sends a file, and that is the whole body.
                self._size = _announced_size(self._sent)
                self.is_whole = True
        return message

    async def end(self) -> None:
        """Record the request, once, and end its leases: nothing more will be answered."""
        while self._granted:
            await self._granted.pop().aclose(Outcome.COMPLETE)
        if self._is_recorded:
            return
        self._is_recorded = True
        context, request, now = self._request.context, self._request, perf_counter()
        if self.failure is not None:
            self._recorder.failed(self._meter, context, request, self.failure)
            return
        context.source = UPSTREAM
        self._recorder.ended(
            Observed(self._meter, context, request),
            self._status or CLIENT_GONE,
            self._size,
            self._answered_at or now,
            now,
            is_aborted=not self.is_whole,
        )

    def _completed(self, fields: Iterable[HeaderField]) -> list[HeaderField]:
        dropped = OWN_FIELDS if self._fields else OWN_FIELDS - LIMIT_FIELDS
        kept = [field for field in fields if field[0].lower() not in dropped]
        return [*kept, *self._fields, (b"x-request-id", self._request.context.request_id)]


class Visits:
    """The visit of one request, once something asks for it."""

    def __init__(self, home: Home, scope: Scope) -> None:
        self._home = home
        self._scope = scope
        self._started_at = perf_counter()
        self.visit: Visit | None = None

    @classmethod
    def begun(cls, home: Home, scope: Scope) -> Self:
        """Return it, kept in the scope for whatever will ask."""
        scope[_VISITS] = visits = cls(home, scope)
        return visits

    def one(self) -> Visit:
        if self.visit is None:
            self.visit = Visit(self._home, self._scope, self._started_at)
        return self.visit


def visit_of(scope: Scope) -> Visit:
    """Return the visit that this request is, begun now if it is not yet."""
    visits: Visits | None = scope.get(_VISITS)
    if visits is None:
        raise GatewayNotOpen(_NOT_INSTALLED)
    return visits.one()


def failed(scope: Scope, error: GatewayError) -> None:
    """Take note that the answer is the gateway's own."""
    visits: Visits | None = scope.get(_VISITS)
    if visits is not None and visits.visit is not None:
        visits.visit.failure = error


def _announced_size(fields: list[HeaderField]) -> int:
    """Return what Content-Length says; 0 if it is not there."""
    return next((int(value) for name, value in fields if name.lower() == b"content-length"), 0)


async def _endpoint(_: Request[Context]) -> Response:
    """Stands for what follows the limit: here that is the endpoint, which FastAPI calls, and which
    runs until what is returned is closed."""
    response = Response(200)
    response.on_close(lambda _: None)
    return response
