"""What would become of a request, and why: nothing is sent on, nothing is charged.

Goes the way of `handle` by the same parts: the route table, the resolver, the plan's routes, the
limits' own choice and their script at a cost of nothing, the cache's own look-up, as for a request
that has no fields but those that are given and its key. The CLI and the admin API both show what
comes of it. What a user's own policies would say is not asked: they are named in the chain.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field, fields
from operator import itemgetter
from time import perf_counter
from typing import Any, Final, TypeVar

from tidegate.cache.choice import chosen
from tidegate.cache.memory import Copy
from tidegate.cache.storage import Found
from tidegate.gateway.gateway import Gateway
from tidegate.gateway.limit_rules import Rule, own_limits, rules
from tidegate.http import GatewayError, Headers, Request
from tidegate.http.errors import BadRequest, MethodNotAllowed, RouteNotFound, TooManyRequests
from tidegate.http.target import parse_target
from tidegate.identity import Caller, presented_key, unauthorized
from tidegate.policies import Context
from tidegate.policies.cache import CachePolicy
from tidegate.policies.entitle import Entitlement
from tidegate.policies.limit import Limit
from tidegate.telemetry import recent_decisions

T = TypeVar("T", "Explanation", "ExplainedCaller", "ExplainedLimit")

ANSWERED: Final = "answered"
"""By the gateway: out of the cache, or as its own."""
FORWARDED: Final = "forwarded"
REFUSED: Final = "refused"
HIT: Final = "hit"
RECORDS_SEARCHED: Final = 1000
RECORDS_SHOWN: Final = 5
HOSTS_SHOWN: Final = 10
LOCALHOST: Final = "127.0.0.1"
NO_FIELDS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class ExplainedCaller:
    tenant: str
    plan: str
    key_id: str
    key_name: str


@dataclass(frozen=True, slots=True)
class ExplainedLimit:
    """`refuses`: what the route costs is more than what is left. One in shadow mode would refuse,
    and does not. `near`: spent up to its `warn_at`."""

    name: str
    capacity: int
    remaining: int
    reset_s: int
    refuses: bool
    shadow: bool = False
    near: bool = False


@dataclass(slots=True)
class Explanation:
    """`status` and `reason` are of the gateway's own refusal; None where there is none."""

    method: str
    host: str
    path: str
    verdict: str = REFUSED
    status: int | None = None
    reason: str | None = None
    service: str | None = None
    route: str | None = None
    hosts: Sequence[str] = ()
    """Where no route takes this host: those that it could have been, some of many."""
    chain: Sequence[str] = ()
    caller: ExplainedCaller | None = None
    cost: int | None = None
    """In requests."""
    costs: dict[str, int] = field(default_factory=dict)
    """What it costs in other units until the answer tells, by unit."""
    limits: Sequence[ExplainedLimit] = ()
    rules: Sequence[Rule] = ()
    """Which limits apply here and why, and in place of what."""
    cache: str = "off"
    targets: Sequence[str] = ()
    """As the file has them: `${UPSTREAM_URL}`, not what it brings."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    recent: Sequence[dict[str, Any]] = ()
    """The latest decision records of this caller on this route, as far as they were sampled."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(told: dict[str, Any]) -> "Explanation":
        """Return what `as_dict` told, also as JSON and by a gateway of another version."""
        explanation = _known(Explanation, told)
        explanation.limits = [_known(ExplainedLimit, limit) for limit in told.get("limits", ())]
        explanation.rules = [Rule.from_dict(rule) for rule in told.get("rules", ())]
        if (caller := told.get("caller")) is not None:
            explanation.caller = _known(ExplainedCaller, caller)
        return explanation


def _known(kind: type[T], told: dict[str, Any]) -> T:
    names = {known.name for known in fields(kind)}
    return kind(**{name: value for name, value in told.items() if name in names})


async def explain(
    gateway: Gateway,
    method: str,
    target: str,
    *,
    host: str = "localhost",
    key: str | None = None,
    client: str | None = None,
    headers: Mapping[str, str] = NO_FIELDS,
) -> Explanation:
    """Explain a request to an open gateway. `target` is a path with its query, or a whole URL;
    `client` is the address that it comes from: this machine's own, if none is given.

    Raises StoreUnavailable; every other refusal is in what is returned.
    """
    started_at = perf_counter()
    explanation = Explanation(method.upper(), host, target)
    try:
        fields = Headers((name.lower().encode(), text.encode()) for name, text in headers.items())
        explanation.verdict = await _walk(gateway, explanation, key, client or LOCALHOST, fields)
    except GatewayError as error:
        if error.status >= 500:
            raise
        explanation.status = error.status
        explanation.reason = error.detail or error.title
    explanation.timings_ms["total"] = _ms_since(started_at)
    return explanation


async def _walk(
    gateway: Gateway, explanation: Explanation, key: str | None, client: str, fields: Headers
) -> str:
    """Fill in what is met on the way, and return the verdict; raise what would be refused."""
    host, path, query = parse_target(
        explanation.path.encode("utf-8"), [explanation.host.encode("utf-8")], "1.1"
    )
    explanation.host, explanation.path = host.decode(), path.decode()
    if gateway.answers_itself(path):
        explanation.chain = ("the gateway's own answer",)
        return ANSWERED
    try:
        compiled, prefix_bytes = gateway.snapshot.table.find(explanation.method, host, path)
    except RouteNotFound:
        explanation.hosts = _other_hosts(gateway, explanation, path)
        raise
    route = compiled.route
    explanation.service = compiled.service.name
    explanation.route = route.name
    explanation.chain = tuple(name for name, _ in compiled.policies)
    explanation.targets = compiled.service.as_written("targets")
    if route.cache is not None and route.cache.enabled:
        explanation.cache = "on, but not reached"
    path = compiled.forwarded(path, prefix_bytes)
    request = Request[Context](
        explanation.method, path, fields, query=query, host=host, client=client
    )
    request.context = context = Context(route, compiled.service, gateway.store)
    if route.auth:
        context.caller = caller = await _caller(gateway, explanation, key)
        entitlement = Entitlement(route.name, gateway.config.plans)
        if not entitlement.covers(caller, explanation.method):
            raise entitlement.refusal(caller, explanation.method)
        explanation.recent = await _recent(gateway, caller.key_id, route.name)
    own, owner = own_limits(context.caller)
    explanation.rules = rules(gateway.config, route, own, owner)
    for _, policy in compiled.policies:
        if isinstance(policy, Limit):
            await _look_at_limits(gateway, explanation, policy, request)
        elif isinstance(policy, CachePolicy):
            explanation.cache = await _cache_verdict(gateway, policy, request)
    return ANSWERED if explanation.cache.startswith(HIT) else FORWARDED


def _other_hosts(gateway: Gateway, explanation: Explanation, path: bytes) -> list[str]:
    """Return the hosts of which a route takes the path, as the file has them."""
    hosts: dict[str, None] = {}
    for compiled in gateway.snapshot.routes:
        route = compiled.route
        for pattern, written in zip(route.hosts, route.as_written("hosts"), strict=True):
            host = pattern.replace("*", "any", 1).encode()
            with suppress(RouteNotFound, BadRequest):
                with suppress(MethodNotAllowed):  # which is told where the host is given
                    gateway.snapshot.table.find(explanation.method, host, path)
                hosts[written] = None
            if len(hosts) == HOSTS_SHOWN:
                return list(hosts)
    return list(hosts)


async def _cache_verdict(gateway: Gateway, policy: CachePolicy, request: Request[Context]) -> str:
    """Return what the cache holds for the request. Nothing is marked as used."""
    policy.ask(request, request.context)
    pending = request.context.pending_cache
    if isinstance(pending, str):
        return f"bypass: {pending}"
    now = time.time()
    if isinstance(pending, Copy):
        return _fresh(pending.fresh_until - now)
    cache = gateway.parts.cache
    assert cache is not None  # noqa: S101 - there is no such policy without it
    found = await cache.storage.found(pending.look_up, pending.headers)
    return _verdict_of(found, pending.headers, now)


def _verdict_of(found: Found, headers: Headers, now: float) -> str:
    if found.generations is None:
        return "miss: the cache's store does not answer"
    choice = chosen(headers, found.entries, now)
    if choice is not None:
        verdict = choice.verdict
        if choice.answers:
            return _fresh(verdict.ttl_s)
        if choice.may_be_validated:
            stale_s = -verdict.ttl_s
            return f"stale: for {stale_s:.0f} s, the service is asked whether it still holds"
        return f"miss: {verdict.reason}"
    if found.has_variants:
        return "miss: what is stored answers other fields (Vary)"
    return "miss: nothing is stored"


def _fresh(ttl_s: float) -> str:
    return f"{HIT}: fresh for {ttl_s:.0f} s more"


async def _caller(gateway: Gateway, explanation: Explanation, key: str | None) -> Caller:
    if key is None:
        raise unauthorized("No API key is presented")
    presented = presented_key(Headers(((b"x-api-key", key.encode("utf-8")),)))
    assert presented is not None  # noqa: S101 - it was given
    asked_at = perf_counter()
    caller = await gateway.parts.resolver.resolve(presented)
    explanation.timings_ms["caller"] = _ms_since(asked_at)
    explanation.caller = ExplainedCaller(caller.tenant, caller.plan, caller.key_id, caller.key_name)
    return caller


async def _look_at_limits(
    gateway: Gateway, explanation: Explanation, policy: Limit, request: Request[Context]
) -> None:
    asked_at = perf_counter()
    subject = policy.subjects.of(request.context.caller, request)
    costs = policy.costs.of(request, subject)
    states = await gateway.parts.limiter.states(subject)
    explanation.timings_ms["limits"] = _ms_since(asked_at)
    explanation.cost = costs[0]
    explanation.costs = dict(zip(policy.costs.units[1:], costs[1:], strict=True))
    near_at = subject.near_at or (-1,) * len(states)
    explanation.limits = limits = [
        ExplainedLimit(
            s.name, s.capacity, s.remaining, s.reset_s, s.remaining < costs[unit],
            shadow=limit.shadow, near=s.remaining <= near,
        )
        for limit, unit, s, near in zip(
            subject.limits, subject.unit_of, states, near_at, strict=True
        )
    ]  # fmt: skip
    if refusing := [limit.name for limit in limits if limit.refuses and not limit.shadow]:
        raise TooManyRequests(f"Reached: {', '.join(refusing)}")


async def _recent(gateway: Gateway, key_id: str, route: str) -> list[dict[str, Any]]:
    """Return the latest records, the last first: each worker writes its own, some later."""
    recent: list[dict[str, Any]] = []
    async with aclosing(recent_decisions(gateway.store, RECORDS_SEARCHED)) as records:
        async for record in records:
            if record["key_id"] == key_id and record["route"] == route:
                recent.append(record)
                if len(recent) == RECORDS_SHOWN:
                    break
    return sorted(recent, key=itemgetter("time"), reverse=True)


def _ms_since(started_at: float) -> float:
    return round((perf_counter() - started_at) * 1e3, 3)
