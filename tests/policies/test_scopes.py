"""Scopes: every level with every `per` names the state that its words promise."""

import itertools

import pytest

from tidegate.config.precedence import Level
from tidegate.policies.scopes import counted_in
from tidegate.rate_limiter import Whose

ACME = Whose("acme", "key_1", "pro", "search")
NOBODY = Whose("", "", "", "search")
PERS = ("key", "tenant", "address", "route", "global", "header:x-user")
VALUES = {"address": b"203.0.113.7", "header:x-user": b"ada"}


def named(level: Level, per: str, whose: Whose = ACME) -> str:
    state = counted_in(level, per, whose, VALUES.get(per, b""))
    name = state.name.decode().removeprefix("tg:limits:")
    return name if not state.is_outside else f"outside {name}"


@pytest.mark.parametrize(
    "level, expected",
    [
        (
            Level.EVERYBODY,
            [
                "{acme}:k:key_1",
                "{acme}:t",
                "outside {a:203.0.113.7}",
                "outside {r:search}",
                "outside {g}",
                "{acme}:t:H",
            ],
        ),
        (
            Level.ROUTE,
            [
                "{acme}:k:key_1:r:search",
                "{acme}:t:r:search",
                "outside {a:203.0.113.7}:r:search",
                "outside {r:search}",
                "outside {r:search}",
                "{acme}:t:r:search:H",
            ],
        ),
        (
            Level.PLAN,
            [
                "{acme}:k:key_1",
                "{acme}:t",
                "outside {a:203.0.113.7}:p:pro",
                "outside {r:search}:p:pro",
                "outside {g}:p:pro",
                "{acme}:t:H",
            ],
        ),
        (
            Level.PLAN_ON_ROUTE,
            [
                "{acme}:k:key_1:r:search",
                "{acme}:t:r:search",
                "outside {a:203.0.113.7}:p:pro:r:search",
                "outside {r:search}:p:pro",
                "outside {r:search}:p:pro",
                "{acme}:t:r:search:H",
            ],
        ),
        (
            Level.TENANT,
            [
                "{acme}:k:key_1",
                "{acme}:t",
                "{acme}:t:a:203.0.113.7",
                "{acme}:t:r:search",
                "{acme}:t",
                "{acme}:t:H",
            ],
        ),
        (
            Level.KEY,
            [
                "{acme}:k:key_1",
                "{acme}:k:key_1",
                "{acme}:k:key_1:a:203.0.113.7",
                "{acme}:k:key_1:r:search",
                "{acme}:k:key_1",
                "{acme}:k:key_1:H",
            ],
        ),
    ],
)
def test_a_limit_counts_together_all_whom_it_was_said_for(level: Level, expected: list[str]):
    header = named(Level.TENANT, "header:x-user").removeprefix("{acme}:t:")
    assert header.startswith("h:x-user:")
    assert [named(level, per) for per in PERS] == [e.replace("H", header) for e in expected]


@pytest.mark.parametrize("level", [Level.EVERYBODY, Level.ROUTE])
def test_without_a_caller_everything_counts_outside(level: Level):
    for per in ("address", "route", "global", "header:x-user"):
        state = counted_in(level, per, NOBODY, b"1")
        assert state.is_outside
        assert state.name.startswith(b"tg:limits:{")
    assert counted_in(Level.ROUTE, "header:x-user", NOBODY, b"ada").name.endswith(b"}:r:search")


@pytest.mark.parametrize(
    "level, per, expected",
    [
        (Level.EVERYBODY, "global", Whose()),
        (Level.EVERYBODY, "route", Whose(route="search")),
        (Level.PLAN, "address", Whose(plan="pro")),
        (Level.PLAN_ON_ROUTE, "address", Whose(plan="pro", route="search")),
        (Level.PLAN, "tenant", Whose("acme", plan="pro")),
        (Level.ROUTE, "key", ACME),
        (Level.KEY, "tenant", ACME._replace(route="")),
    ],
)
def test_whose_requests_alone_count_in_a_state(level: Level, per: str, expected: Whose):
    assert counted_in(level, per, ACME, VALUES.get(per, b"")).whose == expected


def test_two_values_two_headers_and_two_addresses_never_share_a_state():
    pairs = itertools.product(("header:x-user", "header:x-org", "address"), (b"1", b"2", b"", b":"))
    states = [counted_in(Level.EVERYBODY, per, ACME, value) for per, value in pairs]
    assert len(set(states)) == len(states)


def test_a_headers_value_is_not_in_the_store():
    """Pain point 22: secrets in plain text, and keys as long as a client likes."""
    state = counted_in(Level.PLAN, "header:authorization", ACME, b"Bearer sesame" * 1000)
    assert b"sesame" not in state.name
    assert len(state.name) < 100


def test_a_tenant_of_any_name_cannot_reach_a_state_outside():
    for name in ("g", "a", "r", "h"):
        whose = ACME._replace(tenant=name)
        inside = {
            counted_in(level, per, whose).name for level in Level for per in ("key", "tenant")
        }
        outside = {
            counted_in(level, per, ACME).name for level in Level for per in ("route", "global")
        }
        assert not inside & outside
