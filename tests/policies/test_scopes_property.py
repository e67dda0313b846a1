"""Whatever a configuration says at its six levels, a limit of one name in one state is one limit:
no two callers, routes or values ever count in the same place by different rules."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.limits import LimitEntry, NoLimit, TokenBucket
from tidegate.config.precedence import NOBODY, OwnLimits, applied
from tidegate.config.schema import Route
from tidegate.config.units import Rate
from tidegate.http import Headers, Request
from tidegate.policies.applicable_limits import HeaderMissing, applicable
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.policies.request_values import RequestValues
from tidegate.rate_limiter import Whose

PERS = ("key", "tenant", "address", "route", "global", "header:x-user")
SAID = ("nothing",) * 18 + (*PERS, "null")
"""So rarely that lower levels hold often enough."""
FALLBACKS = (None, "key", "tenant", "address")
REQUESTS: list[Request[Any]] = [
    Request("GET", b"/", Headers([(b"x-user", user)] if user else []), client=client)
    for client in ("192.0.2.1", "192.0.2.2")
    for user in (b"ada", b"bob", b"")
]


@st.composite
def entries(draw: Any, levels: int) -> list[tuple[LimitEntry, ...]]:
    """What each level says of up to three names; no limit is another, since bursts differ."""
    said: list[tuple[LimitEntry, ...]] = []
    for level in range(levels):
        own: list[LimitEntry] = []
        for name in "xyz":
            per = draw(st.sampled_from(SAID))
            if per == "null":
                own.append(NoLimit(name=name))
            elif per != "nothing":
                missing = draw(st.sampled_from(FALLBACKS)) if per.startswith("header") else None
                burst = 1000 * level + len(own) + 1
                rate = Rate(1, "hour")
                own.append(
                    TokenBucket(name=name, rate=rate, burst=burst, per=per, on_missing=missing)
                )
        said.append(tuple(own))
    return said


@settings(max_examples=300, deadline=None)
@given(entries(15))
def test_a_name_in_a_state_is_one_limit_whoever_asks(said: list[tuple[LimitEntry, ...]]) -> None:
    everybody, on_a, on_b, on_open, *rest = said
    routes = [
        Route(name="a", limits=on_a),
        Route(name="b", limits=on_b),
        Route(name="open", limits=on_open, auth=()),
    ]
    plans = {
        "free": (rest[0], {"a": rest[1], "b": rest[2]}),
        "pro": (rest[3], {"a": rest[4]}),
    }
    tenants = {"t1": ("free", rest[5]), "t2": ("free", rest[6]), "t3": ("pro", rest[7])}
    keys = {("t1", "k1"): rest[8], ("t1", "k2"): (), ("t2", "k1"): rest[9], ("t3", "k1"): rest[10]}
    values = RequestValues(CountedAddresses(TrustedProxies(())))
    rules: dict[tuple[bytes, str], LimitEntry] = {}
    alone: dict[bytes, Whose] = {}
    for route in routes:
        callers: list[tuple[Whose, OwnLimits]] = [(Whose("", "", "", route.name), NOBODY)]
        if route.auth:
            callers = []
            for (tenant, key), key_limits in keys.items():
                plan, tenant_limits = tenants[tenant]
                own = OwnLimits(*plans[plan], tenant_limits, key_limits)
                callers.append((Whose(tenant, f"{tenant}-{key}", plan, route.name), own))
        for whose, own in callers:
            found = applicable(applied(everybody, route, own), whose, ("requests",))
            for request in REQUESTS:
                try:
                    counters = found.counters(values.of(found, request))
                except HeaderMissing:
                    continue
                for counter in counters:
                    assert alone.setdefault(counter.state, counter.whose) == counter.whose
                    for limit in counter.limits:
                        place = counter.state, limit.name
                        assert rules.setdefault(place, limit) is limit, place
