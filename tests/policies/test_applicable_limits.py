"""Which limits apply, and where they count: for a caller, for nobody, by what a request tells."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from tidegate.config.limits import CheckedLimit
from tidegate.config.precedence import Applied, Level
from tidegate.http import Headers, Request
from tidegate.policies.applicable_limits import HeaderMissing, Value, applicable
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.policies.request_values import RequestValues
from tidegate.rate_limiter import Whose

ACME = Whose("acme", "key_1", "pro", "search")
NOBODY = Whose("", "", "", "search")
UNITS = ("requests", "tokens")
CHECKED: Any = TypeAdapter(CheckedLimit)


def said(per: str, level: Level = Level.PLAN, **fields: Any) -> Applied:
    return Applied(
        CHECKED.validate_python({"name": "x", "rate": "5/s", "per": per} | fields), level
    )


def request(client: str = "203.0.113.7", **headers: str) -> Request[Any]:
    fields = [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()]
    return Request("GET", b"/", Headers(fields), client=client)


def states(
    limit: Applied, asked: Request[Any], whose: Whose = ACME, proxies: tuple[str, ...] = ()
) -> list[str]:
    found = applicable([limit], whose, UNITS)
    values = RequestValues(CountedAddresses(TrustedProxies(proxies))).of(found, asked)
    return [c.state.decode().removeprefix("tg:limits:") for c in found.counters(values)]


def test_without_a_caller_only_limits_apply_that_need_none():
    found = applicable(map(said, ("key", "tenant", "route", "global", "address")), NOBODY, UNITS)
    assert [limit.per for limit, _ in found.fixed] == ["route", "global"]
    assert [limit.per for limit, _ in found.varying] == ["address"]


@pytest.mark.parametrize(
    "client, forwarded, proxies, expected",
    [
        pytest.param("203.0.113.7", "", (), "203.0.113.7", id="the peer"),
        pytest.param("203.0.113.7", "9.9.9.9", (), "203.0.113.7", id="a claim of anybody"),
        pytest.param("10.0.0.1", "9.9.9.9", ("10.0.0.0/8",), "9.9.9.9", id="a trusted proxy's"),
        pytest.param("2001:db8::1", "", (), "2001:db8::/64", id="one host of a /64"),
        pytest.param("2001:db8::ffff:2", "", (), "2001:db8::/64", id="another host of it"),
        pytest.param("", "", (), "unreadable", id="a Unix socket"),
    ],
)
def test_by_address_the_client_counts_that_can_be_believed(
    client: str, forwarded: str, proxies: tuple[str, ...], expected: str
):
    asked = request(client, x_forwarded_for=forwarded) if forwarded else request(client)
    (state,) = states(said("address", Level.EVERYBODY), asked, proxies=proxies)
    assert state == f"{{a:{expected}}}"


def test_a_missing_header_is_refused_by_name_and_never_silent():
    """Kong falls back to the address when the identifier is missing, and tells nobody."""
    for asked in (request(), request(x_user="")):
        with pytest.raises(HeaderMissing) as refusal:
            states(said("header:x-user"), asked)
        assert refusal.value.status == 400
        assert refusal.value.members == {"header": "x-user", "limit": "x"}


@pytest.mark.parametrize(
    "fallback, expected",
    [("key", "{acme}:k:key_1"), ("tenant", "{acme}:t"), ("address", "{a:203.0.113.7}:p:pro")],
)
def test_a_missing_header_counts_by_what_the_configuration_names(fallback: str, expected: str):
    limit = said("header:x-user", on_missing=fallback)
    assert states(limit, request()) == [expected]
    (with_header,) = states(limit, request(x_user="ada"))
    assert with_header.startswith("{acme}:t:h:x-user:")


@pytest.mark.parametrize("fallback", ["key", "tenant"])
def test_without_a_caller_a_missing_header_cannot_count_by_one(fallback: str):
    with pytest.raises(HeaderMissing):
        states(said("header:x-user", Level.ROUTE, on_missing=fallback), request(), NOBODY)


def test_a_header_sent_twice_counts_as_its_joined_value():
    once = Request("GET", b"/", Headers([(b"x-user", b"a, b")]), client="1.1.1.1")
    twice = Request("GET", b"/", Headers([(b"x-user", b"a"), (b"x-user", b"b")]), client="1.1.1.1")
    limit = said("header:x-user")
    assert states(limit, once) == states(limit, twice)


def test_a_unit_in_which_a_route_has_no_cost_is_not_asked_there():
    limits = [said("key", unit=unit, name=unit) for unit in ("requests", "tokens", "megabytes")]
    assert applicable(limits, ACME, UNITS).fixed == tuple(limits[:2])


def test_limits_that_share_a_state_are_asked_together_the_narrowest_first():
    limits = [said(per, name=per) for per in ("global", "tenant", "key")]
    limits += [said("key", name="second"), said("address", name="address")]
    limits += [said("key", Level.PLAN_ON_ROUTE, name="third")]
    counters = applicable(limits, ACME, UNITS).counters([Value("address", b"1.1.1.1")])
    told = [([limit.name for limit in c.limits], c.is_outside) for c in counters]
    assert told == [
        (["key", "second"], False),
        (["third"], False),
        (["tenant"], False),
        (["address"], True),
        (["global"], True),
    ]
