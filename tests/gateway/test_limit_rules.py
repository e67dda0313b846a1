"""Which limits apply, in words: what holds, where it counts, who said it, in place of what."""

from pathlib import Path

import pytest

from tidegate.config import Config, Route, load
from tidegate.config.limits import NoLimit, Quota, TokenBucket
from tidegate.config.precedence import NOBODY, Level, OwnLimits
from tidegate.config.units import parse_rate
from tidegate.gateway.limit_rules import API, Owner, Rule, counted, rules
from tidegate.rate_limiter import Whose

FILE = """\
version: 1
limits: [{name: all, rate: 1000/s, per: global}]
plans:
  pro:
    rate: 5/s
    routes:
      search:
        limits: [{name: steady, rate: 1/s}]
tenants:
  - name: acme
    plan: pro
    limits: [{name: all, rate: null}]
    keys:
      - {name: ci, value: k3y, limits: [{name: steady, rate: 9/s}]}
services:
  - name: shop
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: search, paths: [/search]}
      - name: open
        paths: [/open]
        auth: none
        limits: [{name: steady, rate: 7/s, per: address}]
"""
CI = Owner("acme", "pro", "ci")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    Path("gate.yaml").write_text(FILE)
    return load(Path("gate.yaml"), {})


def own_of(config: Config) -> OwnLimits:
    plan, tenant = config.plans["pro"], config.tenants[0]
    on_routes = {name: said.limits for name, said in plan.routes.items()}
    return OwnLimits(plan.limits, on_routes, tenant.limits, tenant.keys[0].limits)


def of(found: tuple[Rule, ...], name: str) -> Rule:
    (rule,) = [rule for rule in found if rule.name == name]
    return rule


def test_what_holds_says_where_and_in_place_of_what(config: Config) -> None:
    steady = of(rules(config, config.services[0].routes[0], own_of(config), CI), "steady")
    assert steady.applies
    assert (steady.holds.allows, steady.holds.by) == ("9/second, burst 9", "key ci of acme")
    assert steady.holds.place == "gate.yaml:14"
    assert [(one.allows, one.by, one.place) for one in steady.replaced] == [
        ("1/second, burst 1", "plan pro on route search", "gate.yaml:8"),
        ("5/second, burst 5", "plan pro", "gate.yaml:5"),
    ]
    assert steady.why == (
        "what is said for a key goes before what is said by a plan and by a plan on a route"
    )


def test_what_is_taken_away_says_by_whom(config: Config) -> None:
    gone = of(rules(config, config.services[0].routes[0], own_of(config), CI), "all")
    assert not gone.applies
    assert (gone.holds.by, gone.holds.place) == ("tenant acme", "gate.yaml:12")
    assert [one.allows for one in gone.replaced] == ["1000/second, burst 1000"]


def test_on_an_open_route_only_everybody_and_the_route_speak(config: Config) -> None:
    found = rules(config, config.services[0].routes[1], NOBODY, Owner())
    assert [(rule.name, rule.holds.by, rule.counts) for rule in found] == [
        ("all", "limits, for everybody", "everybody together"),
        ("steady", "route open", "each client address, on route open"),
    ]


def test_what_the_api_made_is_said_by_the_api(config: Config) -> None:
    limit = TokenBucket(name="steady", rate=parse_rate("3/s"))
    gone = NoLimit(name="steady", rate=None)
    own = OwnLimits((limit,), {"search": (limit,)}, (gone,), (limit,))
    route = config.services[0].routes[0]
    for owner in (Owner("store", "gold", "web"), Owner("acme", "gold", "web")):
        steady = of(rules(config, route, own, owner), "steady")
        assert steady.holds.place == API
        in_file = owner.tenant == "acme"
        assert [one.place == API for one in steady.replaced] == [not in_file, True, True]


def test_what_cannot_count_here_says_why(config: Config) -> None:
    tokens = Quota(name="tokens", quota=parse_rate("9/day"), unit="tokens")
    route = config.services[0].routes[0]
    told = of(rules(config, route, OwnLimits((tokens,)), CI), "tokens")
    assert (told.applies, told.idle) == (False, "this route costs no tokens")
    by_key = config.model_copy(update={"limits": (TokenBucket(name="all", rate="9/s"),)})
    told = of(rules(by_key, config.services[0].routes[1], NOBODY, Owner()), "all")
    assert not told.applies
    assert told.idle == "this route has auth: none, so that no key or tenant is known"


@pytest.mark.parametrize(
    "level, per, expected",
    [
        (Level.EVERYBODY, "global", "everybody together"),
        (Level.EVERYBODY, "address", "each client address"),
        (Level.EVERYBODY, "key", "key ci of acme"),
        (Level.EVERYBODY, "header:x-user", "each value of x-user, all keys of acme together"),
        (Level.ROUTE, "key", "key ci of acme, on route search"),
        (Level.ROUTE, "route", "everybody together, on route search"),
        (Level.PLAN, "tenant", "all keys of acme together"),
        (Level.PLAN, "address", "each client address, all callers on plan pro together"),
        (Level.PLAN, "global", "all callers on plan pro together"),
        (Level.PLAN_ON_ROUTE, "key", "key ci of acme, on route search"),
        (Level.TENANT, "address", "each client address, all keys of acme together"),
        (Level.TENANT, "global", "all keys of acme together"),
        (Level.KEY, "tenant", "key ci of acme"),
    ],
)
def test_who_shares_a_count_is_told(level: Level, per: str, expected: str) -> None:
    whose = Whose("acme", "key_1", "pro", "search")
    assert counted(level, per, whose, CI) == expected


def test_a_rule_comes_back_from_json_of_another_version(config: Config) -> None:
    from dataclasses import asdict

    (first, *_) = rules(config, Route(name="search"), own_of(config), CI)
    told = asdict(first) | {"new": 1, "holds": asdict(first.holds) | {"new": 1}}
    assert Rule.from_dict(told) == first
