"""What is left of the limits of a caller: of one key, or of those that all keys of a tenant share.

Told by the limits' own script at a cost of nothing, and for the routes that the plan has: a limit
that several of them share is told once, one that counts apart for a route names it. Without a
request, what can be told without one: limits by address or header count by what each request says.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from tidegate.config import Config, Route
from tidegate.config.limits import Limit
from tidegate.identity import Caller
from tidegate.policies import Parts, Subjects
from tidegate.policies.scopes import parts_of
from tidegate.rate_limiter import REQUESTS, Limiter, LimitState, Subject

ASKED_AT_ONCE: Final = 8
"""Routes. The next are asked when these are told, so that neither the loop nor the store is held:
with many routes there may be thousands of limits."""


class Left(NamedTuple):
    limit: Limit
    route: str | None
    """On which alone it counts; None: on all where it applies."""
    state: LimitState


async def limits_left(config: Config, parts: Parts, caller: Caller) -> list[Left]:
    """Return what is left for `caller`; for one without a key's id, of what no key has alone.

    Raises StoreUnavailable.
    """
    routes = routes_of(config, caller)
    subjects = (_without_request(parts.subjects, caller, route) for route in routes)
    return await left_in(parts.limiter, subjects)


def routes_of(config: Config, caller: Caller) -> Iterator[Route]:
    """Yield the routes that the caller's plan has."""
    for service in config.services:
        for route in service.routes:
            if route.auth and (caller.grants is None or route.name in caller.grants):
                yield route


def units_of(route: Route) -> tuple[str, ...]:
    """Return in what the route has costs, as the limit policy has them."""
    return (REQUESTS, *route.costs)


async def left_in(
    limiter: Limiter, subjects: Iterable[Subject], limits_max: int | None = None
) -> list[Left]:
    """Return what is left of each limit, once for each place where it counts, and of no more
    subjects once `limits_max` are found."""
    left: dict[tuple[bytes, Limit], Left] = {}
    asked: set[Subject] = set()
    following = iter(subjects)
    while some := dict.fromkeys(islice(following, ASKED_AT_ONCE)):
        new = [subject for subject in some if subject not in asked]
        asked.update(new)
        told = await asyncio.gather(*map(limiter.states, new))
        for subject, states in zip(new, told, strict=True):
            counted = ((at, limit) for at in subject.counters for limit in at.limits)
            for (counter, limit), state in zip(counted, states, strict=True):
                found = Left(limit, counter.whose.route or None, state)
                left.setdefault((counter.state, limit), found)
        if limits_max is not None and len(left) >= limits_max:
            break
    return list(left.values())[:limits_max]


def _without_request(subjects: Subjects, caller: Caller, route: Route) -> Subject:
    found = subjects.applicable(caller, route, units_of(route))
    told = tuple(
        applied
        for applied in found.fixed
        if caller.key_id or "k" not in parts_of(applied.level, applied.limit.per, found.whose)
    )
    return subjects.subject(found._replace(fixed=told, varying=()).counters(), units_of(route))
