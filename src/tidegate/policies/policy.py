"""The public API of a policy: one layer of the pipeline, built in or a user's own.

A policy is `async (request, call_next) -> response`. It may answer by itself, change the request
before it calls `call_next`, and change the response after. It is made once for each route by a
`build(settings)` function, so that per request only what depends on the request is left to do.
A built-in one is a plain function that gives what is awaited: a response that is there, the next
one's answer, or a coroutine of its own.

A built-in policy may also have `ask(request, context)`: synchronous, called before any policy's
coroutine runs, in order, to queue store commands that then leave together in one write. Asking
stops at the first policy without `ask`, so that nothing is asked on behalf of a request that an
earlier policy may still refuse.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from tidegate import http
from tidegate.config import Route, Service
from tidegate.http import HeaderField, Response
from tidegate.identity import Caller
from tidegate.rate_limiter import Costs, Decision, Subject
from tidegate.store import Store


class Context:
    """What the pipeline knows about one request. Policies read it; built-in ones fill it.

    `caller` is None on `auth: none` routes and before authentication. `store` is the gateway's
    own store: a policy's keys should start with a prefix of their own. `stranger` is a presented
    key that this worker does not know by heart, until it is looked up. `pending_limits` is the
    limit policy's unanswered question, `counted` in what the request counts and what it costs
    there, `decision` what became of it; `pending_cache` is what the cache policy found or asked.
    `source` is who made the answer: "gateway", "cache" or "upstream".
    `cache_status` is hit, miss, stale, bypass or revalidated, None where nothing was looked up, and
    `cache_detail` the reason; `target` is the upstream's `host:port` where it is known.

    `debug_token` is what a request shows that asks for `Tidegate-Debug`, None if it does not.

    `path` is as the client asked for it. The times are `time.perf_counter()`, 0.0 where that was
    not reached: `started_at` when the request came to the gateway, `decided_at` when the limits had
    answered, `forwarded_at` when the request was sent on, if policies stand between.
    """

    # No slots: seventeen of them set for each request cost more than five (figures in
    # docs/performance.md), and a policy may leave what it knows here for the next one.
    caller: Caller | None = None
    stranger: Any = None
    request_id = b""
    pending_limits: Any = None
    pending_cache: Any = None
    debug_token: bytes | None = None
    decision: Decision | None = None
    counted: tuple[Subject, Costs] | None = None
    source = "gateway"
    cache_status: str | None = None
    cache_detail: str | None = None
    target: str | None = None
    decided_at = 0.0
    forwarded_at = 0.0

    def __init__(
        self,
        route: Route | None,
        service: Service | None,
        store: Store,
        path: bytes = b"",
        started_at: float = 0.0,
    ) -> None:
        self.route = route
        self.service = service
        self.store = store
        self.path = path
        self.started_at = started_at

    def own_lines(self) -> bytes:
        """Return the lines of `own_fields`, made at once."""
        decision = self.decision
        if decision is None or not (told := decision.lines):
            return b"x-request-id: " + self.request_id
        return b"%b\r\nx-request-id: %b" % (told, self.request_id)

    def own_fields(self) -> list[HeaderField]:
        """Return what the gateway says on an answer: its limits, and the id of the request."""
        told = () if self.decision is None else self.decision.headers
        return [*told, (b"x-request-id", self.request_id)]


Request: TypeAlias = http.Request[Context]
Next: TypeAlias = Callable[[Request], Awaitable[Response]]
Policy: TypeAlias = Callable[[Request, Next], Awaitable[Response]]
Ask: TypeAlias = Callable[[Request, Context], None]
"""Queues store commands ahead of a policy's turn: the type of its `ask`."""


class Asking(Protocol):
    """A built-in layer that is done with a request once it has asked, and has no turn."""

    def ask(self, request: Request, context: Context) -> None: ...


class Answering(Protocol):
    """The last layer, which calls none: it answers each request."""

    def answer(self, request: Request) -> Awaitable[Response]: ...


Layer: TypeAlias = Policy | Asking | Answering
