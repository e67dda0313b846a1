"""What a caller is told of himself: each limit that counts his requests, and how many there were.

Asked with the key that calls the routes, on a path that the gateway answers itself; nothing is
charged and nothing sent on. Limits are read as `explain` reads them, by the limits' own script at
a cost of nothing; those in shadow mode are not told, since they bind nobody. What it may cost is
bounded, for it is free: so many answers a second, so many routes in each, and counts that are read
anew every few seconds.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

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
from tidegate.rate_limiter import LimitState
from tidegate.store import Store
from tidegate.telemetry.usage import Amounts, read_key_usage

ROUTES_MAX: Final = 50
"""Routes whose limits and counts are told: the first of the configuration that the plan has."""
RECENT_MINUTES: Final = 60
COUNTS_KEPT_S: Final = 5.0
ASKS_A_SECOND: Final = 20
"""Answers that one caller gets from one worker: a page that shows them asks once a second."""
CALLERS_MAX: Final = 1000
"""Callers whose counts are kept, and of whom it is known how often they asked."""

Told = dict[str, Any]
"""What is told of one limit."""


class UsageThrottled(TooManyRequests):
    slug = "usage-throttled"
    title = "What is left of the limits is asked too often"


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
        proxies = TrustedProxies(parts.listen.trusted_proxies)
        self._config = config
        self._parts = parts
        self._store = store
        self._clock = clock
        self._recognition = Recognition(parts.resolver, parts.throttle, proxies)
        self._counts: dict[Caller, tuple[float, Amounts]] = {}
        self._asks: dict[Caller, int] = {}
        """How often each has asked in this second."""
        self._second = 0

    async def answer(self, request: Request) -> Response:
        """Raises MethodNotAllowed, Unauthorized, TooManyRequests, StoreUnavailable."""
        check_method(request)
        caller = await self._recognition.caller(request)
        self._count_ask(caller)
        routes = list(islice(routes_of(self._config, caller), ROUTES_MAX))
        limits, counts = await asyncio.gather(
            self._limits(caller, routes, request), self._recent(caller, routes)
        )
        told = {
            "tenant": caller.tenant,
            "plan": caller.plan,
            "key": {"id": caller.key_id, "name": caller.key_name},
            "limits": limits,
            "last_hour": counts._asdict(),
        }
        return json_answer(request, told)

    def _count_ask(self, caller: Caller) -> None:
        """Raises UsageThrottled. Who asks is charged nothing, and must not cost without bound."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._asks = second, {}
        asks = self._asks.get(caller, 0)
        if asks >= ASKS_A_SECOND or (not asks and len(self._asks) >= CALLERS_MAX):
            raise UsageThrottled(
                f"It may be asked {ASKS_A_SECOND} times a second. Try again in 1 s",
                headers=((b"retry-after", b"1"),),
            )
        self._asks[caller] = asks + 1

    async def _limits(self, caller: Caller, routes: list[Route], request: Request) -> list[Told]:
        subjects = (
            self._parts.subjects.on(route, units_of(route)).as_told(caller, request)
            for route in routes
        )
        left = await left_in(self._parts.limiter, subjects)
        now_s = int((await self._store.execute(b"TIME"))[0])
        return [_told(one, now_s) for one in left if not one.limit.shadow]

    async def _recent(self, caller: Caller, routes: list[Route]) -> Amounts:
        now = self._clock()
        kept = self._counts.get(caller)
        if kept is not None and now < kept[0]:
            return kept[1]
        minute = int(time.time()) // 60
        counts = await read_key_usage(
            self._store,
            caller.tenant,
            caller.key_id,
            [route.name for route in routes],
            minute - RECENT_MINUTES + 1,
            minute,
        )
        if len(self._counts) >= CALLERS_MAX:
            del self._counts[next(iter(self._counts))]
        self._counts[caller] = now + COUNTS_KEPT_S, counts
        return counts


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
