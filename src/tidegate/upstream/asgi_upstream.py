"""A service that is an ASGI application of this process: an upstream without a socket.

To the rest of the gateway it is what `Upstream` is: the same fields, bounds, timeouts and errors.
`pool.connections` bounds the calls under way, since an application may go on after its response;
`pool.waiting` and the connect timeout bound who waits for one to end. One Task a request.
"""

import asyncio
from collections import deque
from typing import Any, Final
from urllib.parse import unquote

from tidegate.config.schema import Service
from tidegate.http.headers import Headers
from tidegate.http.message import Informational, Request, Response
from tidegate.upstream import failures
from tidegate.upstream.asgi_app import ASGI, AsgiApp
from tidegate.upstream.asgi_exchange import AsgiExchange
from tidegate.upstream.pool import Counts
from tidegate.upstream.request_head import WRITTEN_HERE, host_rule
from tidegate.upstream.sweep import Pace, Sweep

SCHEME: Final = "asgi:"
_AUTHORITY: Final = b"localhost"
"""Value of Host where it shall be the target's: an application here has no name of its own."""
_READY_MAX: Final = 4096
CANCEL_S_MAX: Final = 5.0
"""How long calls that are cancelled at the end may take to clean up."""


class AsgiUpstream:
    """The client of a service whose only target is an application."""

    def __init__(self, service: Service, app: AsgiApp) -> None:
        self._service = service.name
        self._app = app
        self._bounds = service.pool
        self._timeouts = service.timeouts
        self._host = host_rule(service.host, "http")
        self._held = 0
        self._called = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._calls: dict[asyncio.Task[None], AsgiExchange] = {}
        self._sweep = Sweep(self._tick)
        self._ready: dict[bytes, Headers] = {}

    async def start(self) -> None:
        """Run the application's startup, once. Raises TargetNotLoaded."""
        await self._app.start()

    async def send(
        self,
        request: Request,
        on_informational: Informational | None = None,
        ready: bytes = b"",
    ) -> Response:
        """Have the application answer `request`, like `Upstream.send`; ASGI has no 1xx."""
        scope = self._scope(request, ready)
        loop = asyncio.get_running_loop()
        if self._held < self._bounds.connections:
            self._held += 1
        else:
            await self._wait_for_slot(loop)
        self._called += 1
        exchange = AsgiExchange(loop, request, self._timeouts, self._service)
        call = loop.create_task(exchange.run(self._app, scope))
        self._calls[call] = exchange
        call.add_done_callback(self._ended)
        if self._sweep.pace is not Pace.BUSY:
            self._sweep.hurry(loop)
        try:
            return await exchange.reply
        except BaseException:
            exchange.abandon()
            raise

    def retire(self) -> None:
        """A newer configuration took over: what is under way goes on, and nothing is kept idle."""

    async def aclose(self) -> None:
        """End what is under way, then run the application's shutdown."""
        self._sweep.stop()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(failures.pool_full(self._service))
        for call, exchange in tuple(self._calls.items()):
            exchange.abandon()
            call.cancel()
        if self._calls:
            await asyncio.wait(tuple(self._calls), timeout=CANCEL_S_MAX)
        await self._app.aclose()

    @property
    def counts(self) -> dict[str, Counts]:
        """Calls under way, who waits for one to end, and calls since the start."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return {self._app.target: Counts(self._held, 0, waiting, self._called)}

    def _scope(self, request: Request, ready: bytes) -> dict[str, Any]:
        host = self._host(request, _AUTHORITY)
        name, _, port = host.decode("latin-1").rpartition(":")
        fields = [(b"host", host)]
        fields += [field for field in request.headers if field[0] not in WRITTEN_HERE]
        if ready:
            fields += self._ready.get(ready) or self._split(ready)
        body = request.body
        if isinstance(body, bytes):
            if body or request.method in ("POST", "PUT", "PATCH"):
                fields.append((b"content-length", b"%d" % len(body)))
        elif request.content_length is not None:
            fields.append((b"content-length", b"%d" % request.content_length))
        else:
            fields.append((b"transfer-encoding", b"chunked"))
        default = 443 if request.scheme == "https" else 80
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": request.http_version,
            "method": request.method,
            "scheme": request.scheme,
            "path": unquote(request.path.decode("latin-1")),
            "raw_path": request.path,
            "query_string": request.query or b"",
            "root_path": "",
            "headers": fields,
            "client": (request.client, 0) if request.client else None,
            "server": (name, int(port)) if port.isdecimal() else (host.decode("latin-1"), default),
            "state": self._app.state.copy(),
        }

    def _split(self, ready: bytes) -> Headers:
        """Return fields that were made ready for a socket (request_head.ready_fields)."""
        lines = (line.partition(b": ") for line in ready.split(b"\r\n")[1:])
        fields = Headers((name, value) for name, _, value in lines)
        if len(self._ready) >= _READY_MAX:
            self._ready.clear()
        self._ready[ready] = fields
        return fields

    async def _wait_for_slot(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiters) >= self._bounds.waiting:
            raise failures.pool_full(self._service)
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._free_slot()  # given in the moment in which it was no longer wanted
            if isinstance(error, TimeoutError):
                raise failures.pool_full(self._service) from None
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _ended(self, call: asyncio.Task[None]) -> None:
        exchange = self._calls.pop(call)
        if call.cancelled():
            exchange.abandon()  # before it began
        self._free_slot()

    def _free_slot(self) -> None:
        """Give the slot to who waits longest, else take it back."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._held -= 1

    def _tick(self, now_s: float) -> Pace:
        for exchange in tuple(self._calls.values()):
            if exchange.deadline_s <= now_s:
                exchange.expire()
        return Pace.BUSY if self._calls else Pace.STOPPED
