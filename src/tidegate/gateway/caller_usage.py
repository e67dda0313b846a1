"""What a caller is told of himself: each limit that counts his requests, and how many there were.

Asked with the key that calls the routes, on a path that the gateway answers itself; nothing is
charged and nothing sent on. Limits are read as `explain` reads them, by the limits' own script at
a cost of nothing; those in shadow mode are not told, since they bind nobody. What it may cost is
bounded, for it is free: in a worker one reads at a time and few wait for their turn, what was read
is told again for a moment, and who asks on and on is told to wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from tidegate.config import Config, Route
from tidegate.config.schema import Limit, Quota
from tidegate.gateway.limits_left import Left, left_in, routes_of, units_of
from tidegate.gateway.own_answers import check_method, json_answer
from tidegate.http import Response
from tidegate.http.errors import TooManyRequests
from tidegate.identity import Caller
from tidegate.policies import Parts, Request
from tidegate.policies.authenticate import Recognition
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.policies.request_values import kept_value
from tidegate.policies.scopes import ADDRESS
from tidegate.rate_limiter import LimitState
from tidegate.store import Store
from tidegate.telemetry.usage import Amounts, read_key_usage

ROUTES_MAX: Final = 50
"""Routes whose limits are told: the first of the configuration that the plan has."""
LIMITS_MAX: Final = 100
"""Limits that are told: the first by route."""
RECENT_MINUTES: Final = 60
COUNTS_KEPT_S: Final = 5.0
ANSWER_KEPT_S: Final = 0.5
ANSWERS_MAX: Final = 100
"""Answers kept, of 30 KB each at the most."""
WAITING_MAX: Final = 50
"""Those who read or wait for their turn, which takes a few milliseconds."""
ASKS_A_SECOND: Final = 20
"""Answers that one caller gets from one worker: a page that shows them asks once a second."""
CALLERS_MAX: Final = 1000
"""Callers of whom is kept how often they asked, their counts, and by what their limits count."""

Told = dict[str, Any]
"""What is told of one limit, or of all."""
_Asked = tuple[Caller, bytes, tuple[bytes, ...]]
"""Who asks; and where limits count by what a request tells, what this one does."""
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class UsageThrottled(TooManyRequests):
    slug = "usage-throttled"
    title = "What is left of the limits is asked too often"


class _CountedBy(NamedTuple):
    """What of a request the limits of a caller count by."""

    is_by_address: bool
    fields: tuple[bytes, ...]


class CallerUsage:
    """Made once for an open gateway."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._parts = parts
        self._store = store
        self._clock = clock
        self._recognition = Recognition(parts.resolver, parts.throttle)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._answers: dict[_Asked, tuple[float, Told]] = {}
        self._addresses = CountedAddresses(TrustedProxies(parts.listen.trusted_proxies))
        self._counted_by: dict[Caller, _CountedBy] = {}
        self._counts: dict[Caller, tuple[float, Amounts]] = {}
        self._asks: dict[Caller, int] = {}
        """How often each has asked in this second."""
        self._second = 0

    async def answer(self, request: Request) -> Response:
        """Raises MethodNotAllowed, Unauthorized, TooManyRequests, StoreUnavailable."""
        check_method(request)
        caller = await self._recognition.caller(request)
        self._count_ask(caller)
        told = self._kept(caller, request)
        if told is None:
            async with self._own_turn():
                told = self._kept(caller, request) or await self._read(caller, request)
        return json_answer(request, told)

    def _count_ask(self, caller: Caller) -> None:
        """Raises UsageThrottled. Who asks is charged nothing, and must not cost without bound."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._asks = second, {}
        asks = self._asks.get(caller, 0)
        if asks >= ASKS_A_SECOND or (not asks and len(self._asks) >= CALLERS_MAX):
            raise _throttled(f"It may be asked {ASKS_A_SECOND} times a second. Try again in 1 s")
        self._asks[caller] = asks + 1

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        """Raises UsageThrottled where too many wait already."""
        if self._waiting >= WAITING_MAX:
            raise _throttled("Too many ask at this moment. Try again in 1 s")
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    def _kept(self, caller: Caller, request: Request) -> Told | None:
        """Return the answer of a moment ago."""
        counted_by = self._counted_by.get(caller)
        if counted_by is None:
            return None
        until, told = self._answers.get(self._asked(caller, counted_by, request), (0.0, None))
        return told if self._clock() < until else None

    async def _read(self, caller: Caller, request: Request) -> Told:
        """Raises StoreUnavailable."""
        routes = list(islice(routes_of(self._config, caller), ROUTES_MAX))
        counted_by = self._counted_by.get(caller)
        if counted_by is None:
            counted_by = self._found_counted_by(caller, routes)
            _keep(self._counted_by, CALLERS_MAX, caller, counted_by)
        told = {
            "tenant": caller.tenant,
            "plan": caller.plan,
            "key": {"id": caller.key_id, "name": caller.key_name},
            "limits": await self._limits(caller, routes, request),
            "last_hour": (await self._recent(caller))._asdict(),
        }
        asked = self._asked(caller, counted_by, request)
        _keep(self._answers, ANSWERS_MAX, asked, (self._clock() + ANSWER_KEPT_S, told))
        return told

    def _found_counted_by(self, caller: Caller, routes: list[Route]) -> _CountedBy:
        subjects = self._parts.subjects
        varying = {
            applied.limit
            for route in routes
            for applied in subjects.applicable(caller, route, units_of(route)).varying
        }
        return _CountedBy(
            is_by_address=any(ADDRESS in (limit.per, limit.on_missing) for limit in varying),
            fields=tuple({limit.header.encode() for limit in varying if limit.header}),
        )

    def _asked(self, caller: Caller, counted_by: _CountedBy, request: Request) -> _Asked:
        address = self._addresses.of(request) if counted_by.is_by_address else b""
        said = tuple(
            kept_value(b",".join(request.headers.get_all(name))) for name in counted_by.fields
        )
        return caller, address, said

    async def _limits(self, caller: Caller, routes: list[Route], request: Request) -> list[Told]:
        subjects = (
            self._parts.subjects.on(route, units_of(route)).as_told(caller, request)
            for route in routes
        )
        left = await left_in(self._parts.limiter, subjects, LIMITS_MAX)
        now_s = int((await self._store.execute(b"TIME"))[0])
        return [_told(one, now_s) for one in left if not one.limit.shadow]

    async def _recent(self, caller: Caller) -> Amounts:
        now = self._clock()
        kept = self._counts.get(caller)
        if kept is not None and now < kept[0]:
            return kept[1]
        last = int(time.time()) // 60
        first = last - RECENT_MINUTES + 1
        counts = await read_key_usage(self._store, caller.tenant, caller.key_id, first, last)
        _keep(self._counts, CALLERS_MAX, caller, (now + COUNTS_KEPT_S, counts))
        return counts


def _keep(kept: dict[KeyT, ValueT], count_max: int, key: KeyT, value: ValueT) -> None:
    """Keep it as the newest, and forget the oldest if there are too many."""
    kept.pop(key, None)
    if len(kept) >= count_max:
        del kept[next(iter(kept))]
    kept[key] = value


def _throttled(detail: str) -> UsageThrottled:
    return UsageThrottled(detail, headers=((b"retry-after", b"1"),))


def _told(left: Left, now_s: int) -> Told:
    limit, state = left.limit, left.state
    return {
        "name": limit.name,
        "per": limit.per,
        "route": left.route,
        "unit": limit.unit,
        "limit": state.capacity,
        "remaining": state.remaining,
        "reset_s": state.reset_s,
        "window_end": _window_end(limit, state, now_s),
    }


def _window_end(limit: Limit, state: LimitState, now_s: int) -> int | None:
    """Return when a quota begins anew, in seconds since 1970; None for what has no window.

    What is left of a window is rounded up, and the clock is read a moment after it.
    """
    if not isinstance(limit, Quota):
        return None
    step_s = min(limit.quota.period_s, 60)
    return (now_s + state.reset_s) // step_s * step_s
