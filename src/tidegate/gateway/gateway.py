"""The core: `handle` takes a request from whichever door and returns its response.

This is the composition root as well: store, identity, limiter, policies and upstreams are built
here from the configuration and handed to each other; nothing is global. A Gateway knows nothing
of sockets, parsers or processes.
"""

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Final, Self

from pydantic import SecretStr

from tidegate.cache import Cache, open_cache
from tidegate.config import Config, Settings, load
from tidegate.gateway import own_answers
from tidegate.gateway.caller_usage import CallerUsage
from tidegate.gateway.debug import debug_field, may_debug
from tidegate.gateway.not_open import GatewayNotOpen
from tidegate.gateway.observation import gateway_readings, metrics_directory, telemetry_of
from tidegate.gateway.parts import parts_of
from tidegate.gateway.snapshot import CompiledRoute, Snapshot, compile_snapshot, largest_body_bytes
from tidegate.http import GatewayError, Headers, Outcome, Request, Response
from tidegate.policies import Context, Parts, RequestIdentity, is_cached
from tidegate.policies.answer_fields import complete_answer, complete_error
from tidegate.rate_limiter import Degraded
from tidegate.store import Store, open_store

STORE_WAIT_S: Final = 5.0
DEGRADED_WAIT_S: Final = 0.5
"""A worker that is replaced during an outage shall serve what needs no store, and soon."""


class Gateway:
    """Opens with `async with`; then `handle` may be called any number of times at once."""

    def __init__(
        self,
        config: Config,
        *,
        data_dir: Path,
        directory: Path | None = None,
        store: Store | None = None,
        require_store: bool = True,
        starts_apps: bool = True,
        log_to: int | None = None,
        admin_token: SecretStr | None = None,
    ) -> None:
        """`directory` is where relative paths of the configuration start (default: here).

        A `store` that is given is used and left open, and no metrics are written; else one is
        opened from the configuration. With `require_store=False` the gateway takes another's
        place: it opens even while the store cannot be reached, and counts on where that one
        ended. `starts_apps=False`: nothing will be asked of applications that are upstreams in
        this process. `log_to` is the descriptor for `access_log: auto`. Who presents
        `admin_token` may ask for `Tidegate-Debug`; None: nobody may.
        """
        self.config = config
        self.body_bytes_max = largest_body_bytes(config)
        """The largest request body, in bytes, that any route takes: the bound of the doors."""
        self.is_draining = False
        self._data_dir = data_dir
        self._directory = directory or Path.cwd()
        self._given_store = store
        self._require_store = require_store
        self._starts_apps = starts_apps
        self._store: Store | None = None
        self._admin_token = admin_token
        self._parts: Parts | None = None
        self._snapshot: Snapshot | None = None
        self._opened = AsyncExitStack()
        """Closes all that is open, latest first, whatever fails of it."""
        self._identity = RequestIdentity()
        self.telemetry = telemetry_of(config, log_to)
        self._recorder = self.telemetry.recorder
        self._own = own_answers.paths(config.listen)
        self._usage: CallerUsage | None = None

    @classmethod
    def from_file(cls, path: str | Path, *, require_store: bool = True) -> Self:
        """Load the configuration at `path`, with environment and `.env` applied.

        Raises ConfigError with every problem of the file.
        """
        path = Path(path)
        settings = Settings.read()
        return cls(
            load(path),
            data_dir=settings.data_dir,
            directory=path.parent,
            require_store=require_store,
            admin_token=settings.admin_token,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            store = self._given_store
            if store is None:
                store = await open_store(
                    self.config.redis,
                    self._data_dir,
                    wait_s=STORE_WAIT_S if self._require_store else DEGRADED_WAIT_S,
                    require=self._require_store,
                )
                opened.push_async_callback(store.aclose)
            opened.push_async_callback(self.telemetry.aclose)
            cache: Cache | None = None
            if any(
                is_cached(route) for service in self.config.services for route in service.routes
            ):
                cache = await open_cache(self.config.cache, store)
                opened.push_async_callback(cache.aclose)
            parts = parts_of(self.config, store, cache, self._directory)
            opened.callback(parts.resolver.close)
            opened.callback(parts.leases.close)
            opened.callback(parts.borrower.close)
            opened.push_async_callback(parts.signals.aclose)
            opened.callback(parts.limiter.degraded.close)
            snapshot = compile_snapshot(self.config, parts, self._recorder)
            if self._starts_apps:
                await snapshot.start()  # closes itself where it fails
            opened.push_async_callback(snapshot.aclose)
            self.telemetry.sources.append(parts.signals.readings)
            self._observe(store, snapshot, parts.limiter.degraded)
            self._store, self._parts, self._snapshot = store, parts, snapshot
            self._usage = CallerUsage(self.config, parts, store)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store = self._parts = self._snapshot = self._usage = None
        await self._opened.aclose()

    @property
    def snapshot(self) -> Snapshot:
        """The configuration in force. Raises GatewayNotOpen outside `async with`."""
        if self._snapshot is None:
            raise GatewayNotOpen()
        return self._snapshot

    @property
    def parts(self) -> Parts:
        """What its policies are made from. Raises GatewayNotOpen outside `async with`."""
        if self._parts is None:
            raise GatewayNotOpen()
        return self._parts

    @property
    def store(self) -> Store:
        """The store in use. Raises GatewayNotOpen outside `async with`."""
        if self._store is None:
            raise GatewayNotOpen()
        return self._store

    @property
    def is_ready(self) -> bool:
        """Whether some route can be served now: without the store, those that go on without."""
        if self.is_draining or self._snapshot is None or self._store is None:
            return False
        return self._store.is_up or self._snapshot.goes_on_without_store

    def handle(self, request: Request) -> Awaitable[Response]:
        """Return the response to `request` if it is there at once, else what to await it from.

        Raises GatewayError, at once or when awaited; the door turns it into a response.
        """
        started_at = perf_counter()
        store, snapshot, path = self._store, self._snapshot, request.path
        if store is None or snapshot is None:
            raise GatewayNotOpen()
        if path in self._own:
            request.context = Context(None, None, store, path, started_at)
            return self._own_answer(request)
        try:
            route, prefix_bytes = snapshot.table.find(request.method, request.host, path)
        except GatewayError as error:
            request.context = context = Context(None, None, store, path, started_at)
            self._identity.ask(request, context)
            self._failed(error, request)
            raise
        request.context = context = Context(route.route, route.service, store, path, started_at)
        if route.route.strip_prefix:
            request.path = route.forwarded(path, prefix_bytes)
        try:
            for ask in route.asks:
                ask(request, context)
            answer = route.chain(request)
            if isinstance(answer, Response) and not answer.needs_release:
                return self._answered(answer, request, route)
        except BaseException as error:
            self._failed(error, request, route)
            raise
        return self._awaited(answer, request, route)

    async def _awaited(
        self, answer: Awaitable[Response], request: Request, route: CompiledRoute
    ) -> Response:
        response: Response | None = None
        try:
            response = await answer
            return self._answered(response, request, route)
        except BaseException as error:
            self._failed(error, request, route)
            if response is not None:
                await response.aclose(Outcome.ABORTED)
            raise

    def _answered(self, response: Response, request: Request, route: CompiledRoute) -> Response:
        """Complete an answer that has passed all layers, and record it."""
        context = request.context
        complete_answer(response, context)
        if context.debug_token is not None:
            self._explain_answer(response.headers, route, context, context.source)
        self._recorder.answered(route.meter, context, request, response)
        return response

    def _failed(
        self, error: BaseException, request: Request, route: CompiledRoute | None = None
    ) -> None:
        """Complete the answer that the door will make of `error`, and record it."""
        context = request.context
        if isinstance(error, GatewayError):
            complete_error(error, context)
            if context.debug_token is not None and route is not None:
                self._explain_answer(error.headers, route, context, "gateway")
        recorder = self._recorder
        meter = recorder.unrouted if route is None else route.meter
        recorder.failed(meter, context, request, error)

    def refused(self, error: GatewayError, *, is_cut: bool = False) -> None:
        """Count what a door refused by itself: it has neither route nor caller."""
        self._recorder.refused(error.status, is_cut=is_cut)

    def answers_itself(self, path: bytes) -> bool:
        """Whether the gateway, and no service, answers for `path`."""
        return path in self._own

    def _observe(self, store: Store, snapshot: Snapshot, degraded: Degraded) -> None:
        """Begin to count what is around the requests."""
        is_own = self._given_store is None
        store.connection.watch_trips(self.telemetry.observe_trip)
        self.telemetry.sources.append(lambda: gateway_readings(snapshot, degraded))
        self.telemetry.start(
            store,
            metrics_directory(self._data_dir) if is_own else None,
            continues=not self._require_store,
        )

    def _explain_answer(
        self, headers: Headers, route: CompiledRoute, context: Context, source: str
    ) -> None:
        """Say in the answer how it came about, if it was an admin who asked."""
        token = context.debug_token
        if token is not None and may_debug(token, self._admin_token):
            trip_s = self._recorder.last_trip_s
            headers.replace(*debug_field(route, context, source=source, trip_s=trip_s))

    def _own_answer(self, request: Request) -> Awaitable[Response]:
        """Answer without a route; the answer has an id all the same."""
        context, listen = request.context, self.config.listen
        self._identity.ask(request, context)
        if self._usage is not None and request.path == listen.usage_path.encode():
            return self._told(self._usage.answer(request), request)
        try:
            is_up = self._store is not None and self._store.is_up
            response = own_answers.state(request, listen, is_ready=self.is_ready, is_up=is_up)
        except GatewayError as error:
            complete_error(error, context)
            raise
        complete_answer(response, context)
        return response

    async def _told(self, answer: Awaitable[Response], request: Request) -> Response:
        """Complete and record an answer to a caller about himself, which no route has given."""
        try:
            response = await answer
        except BaseException as error:
            self._failed(error, request)
            raise
        complete_answer(response, request.context)
        self._recorder.answered(self._recorder.unrouted, request.context, request, response)
        return response
