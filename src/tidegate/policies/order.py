"""The one order of policies. Every chain is this list, less what a route does not use.

Request identity comes first, so that every answer can be traced; who calls and how much comes
before anything that costs; the user's own policies stand where their `before` says; forward ends
the chain. `tidegate routes` prints it and a golden test holds it.
"""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.cache import Cache
from tidegate.config import Listen, Plan, Route, Service
from tidegate.http import Response
from tidegate.identity import KeyResolver
from tidegate.policies import (
    authenticate,
    body_bound,
    cache,
    custom,
    forget,
    forward,
    limit,
    request_identity,
    settle,
)
from tidegate.policies.auth_throttle import AuthThrottle
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.cost import RouteCosts
from tidegate.policies.entitle import Entitlement
from tidegate.policies.forget import is_cached
from tidegate.policies.forward import Forward
from tidegate.policies.limit_signals import LimitSignals
from tidegate.policies.limit_subjects import Subjects
from tidegate.policies.policy import Ask, Layer, Next, Policy, Request
from tidegate.rate_limiter import Limiter
from tidegate.rate_limiter.borrowing import Borrower
from tidegate.rate_limiter.lease_keeper import LeaseKeeper
from tidegate.upstream import AnyUpstream


@dataclass(frozen=True, slots=True)
class Parts:
    """What policies are built from: the same for every route of a snapshot."""

    listen: Listen
    resolver: KeyResolver
    limiter: Limiter
    borrower: Borrower
    leases: LeaseKeeper
    subjects: Subjects
    signals: LimitSignals
    body_bytes_max: int
    """The bound that the doors hold: the largest of all routes."""
    directory: Path
    """Where relative paths of the configuration start."""
    plans: Mapping[str, Plan] = field(default_factory=dict)
    throttle: AuthThrottle | None = None
    """None: failed authentications are not bounded."""
    cache: Cache | None = None
    """None: no route caches."""


def ordered(
    route: Route, service: Service, upstream: AnyUpstream, parts: Parts
) -> Iterator[tuple[str, Layer]]:
    """Yield each layer of `route` with its name, outermost first."""
    proxies = TrustedProxies(parts.listen.trusted_proxies)
    is_key_of_file = parts.resolver.is_key_of_file
    yield "request_identity", request_identity.build()
    yield from _own(route, "authenticate", parts)
    if route.auth:
        entitlement = Entitlement(route.name, parts.plans)
        yield "authenticate", authenticate.build(parts.resolver, entitlement, parts.throttle)
    yield from _own(route, "limit", parts)
    limiting = parts.limiter, parts.borrower, parts.leases, parts.subjects, parts.signals
    costs = RouteCosts.of_route(route, proxies, parts.directory)
    if limited := limit.build(route, *limiting, costs):
        yield "limit", limited
        if settled := settle.build(route, parts.limiter):
            yield "settle", settled
    if bound := body_bound.build(route, parts.listen.bounds.body_bytes, parts.body_bytes_max):
        yield "body_bound", bound
    yield from _own(route, "forward", parts)
    if parts.cache is not None and is_cached(route):
        trusts = bool(parts.listen.trusted_proxies)
        yield "cache", cache.build(parts.cache, route, service, is_key_of_file, trusts=trusts)
    elif parts.cache is not None and (forgetting := forget.build(parts.cache, service)):
        yield "forget", forgetting
    waits_before = (
        not route.auth
        or is_cached(route)
        or any(entry.before == "forward" for entry in route.policies)
    )
    yield (
        "forward",
        forward.build(route, upstream, proxies, is_key_of_file, reads_clock=waits_before),
    )


def chain_of(policies: Sequence[tuple[str, Layer]]) -> Next:
    """Return the entry of the chain: each policy with the next one already in its hand."""
    *layers, (_, last) = policies
    assert isinstance(last, Forward)  # noqa: S101 - see `ordered`
    following: Next = last.answer
    for _, policy in reversed(layers):
        if callable(policy):
            following = _bound(policy, following)
    return following


def asks_of(policies: Sequence[tuple[str, Layer]]) -> tuple[Ask, ...]:
    """Return the `ask` of each leading policy that has one, up to the first that has none."""
    asks: list[Ask] = []
    for _, policy in policies:
        ask = getattr(policy, "ask", None)
        if ask is None:
            break
        asks.append(ask)
    return tuple(asks)


def _own(route: Route, before: str, parts: Parts) -> Iterator[tuple[str, Policy]]:
    for entry in route.policies:
        if entry.before == before:
            loaded = custom.load(entry, parts.directory)
            yield loaded.name, loaded


def _bound(policy: Policy, following: Next) -> Next:
    # Of an object, looked up here and not with each request.
    turn: Policy = policy.__call__  # type: ignore[operator]  # mypy finds none on a callable

    def call(request: Request) -> Awaitable[Response]:
        return turn(request, following)

    return call
