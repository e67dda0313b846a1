"""What is left of the limits of a key, or of those that all keys of a tenant share.

Told is what can be told without a request: limits by address or header count by what each request
says. By the limits' own script at a cost of nothing, and for the routes that the plan has: a limit
that several of them share is told once, one that counts apart for a route names it.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, NamedTuple

from tidegate.config.limits import Limit
from tidegate.gateway.gateway import Gateway
from tidegate.identity import Caller
from tidegate.policies.scopes import parts_of
from tidegate.rate_limiter import REQUESTS, Counter, LimitState

ASKED_AT_ONCE: Final = 100
"""The next are asked when these are told: with many routes there may be thousands."""


class Left(NamedTuple):
    limit: Limit
    route: str | None
    """On which alone it counts; None: on all where it applies."""
    state: LimitState


async def limits_left(gateway: Gateway, caller: Caller) -> list[Left]:
    """Return what is left for `caller`; for one without a key's id, of what no key has alone.

    Raises StoreUnavailable.
    """
    places = list(dict(_places(gateway, caller)).items())
    left: list[Left] = []
    for start in range(0, len(places), ASKED_AT_ONCE):
        asked = places[start : start + ASKED_AT_ONCE]
        left += await asyncio.gather(*(_left(gateway, *place) for place in asked))
    return left


def _places(gateway: Gateway, caller: Caller) -> Iterator[tuple[Counter, str | None]]:
    """Yield where each limit counts, and on which route alone."""
    for service in gateway.config.services:
        for route in service.routes:
            if not route.auth or (caller.grants is not None and route.name not in caller.grants):
                continue
            units = (REQUESTS, *route.costs)
            found = gateway.parts.subjects.applicable(caller, route, units)
            for applied in found.fixed:
                parts = parts_of(applied.level, applied.limit.per, found.whose)
                if caller.key_id or "k" not in parts:
                    (counter,) = found._replace(fixed=(applied,), varying=()).counters()
                    yield counter, route.name if "r" in parts else None


async def _left(gateway: Gateway, counter: Counter, route: str | None) -> Left:
    (limit,) = counter.limits
    limiter = gateway.parts.limiter
    units = tuple(dict.fromkeys((REQUESTS, limit.unit)))
    (state,) = await limiter.states(limiter.subject((counter,), units))
    return Left(limit, route, state)
