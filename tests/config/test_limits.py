"""Limits and costs as files say them: every kind, how they merge, and every mistake by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.config import Config, ConfigError, Rate, differences, load
from tidegate.config.costs import FunctionCost, HeaderCost, HeaderSettlement, JsonSettlement
from tidegate.config.limits import (
    Concurrency,
    NoLimit,
    Quota,
    SlidingWindow,
    TokenBucket,
    as_written,
)

SERVICES = """
services:
  - name: shop
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: search, paths: [/search]}
      - {name: open, paths: [/open], auth: none}
      - {name: talk, paths: [/talk], costs: {tokens: {reserve: 500}}}
webhooks: {url: "https://example.com", secret: whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=}
"""

Load = Callable[[str], Config]


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads what is said before SERVICES, which may be said anew."""
    monkeypatch.chdir(tmp_path)

    def loaded(text: str) -> Config:
        whole = "version: 1\n" + text + ("" if "services:" in text else SERVICES)
        Path("gate.yaml").write_text(whole + "\nlisten: {trusted_proxies: [10.0.0.0/8]}\n")
        return load(Path("gate.yaml"), {})

    return loaded


def limits_of(config: Config, plan: str = "pro") -> tuple[Any, ...]:
    return config.plans[plan].limits


def on_route(text: str) -> str:
    return f"""
services:
  - name: shop
    targets: [http://127.0.0.1:9000]
    routes: [{{name: search, {text}}}]
"""


def test_a_short_quota_has_one_name_whatever_its_period(loads: Load) -> None:
    config = loads(
        "plans: {free: {quota: 9/day}, pro: {extends: free, quota: 9/month},\n"
        "        max: {extends: pro, quota: null}}"
    )
    assert limits_of(config) == (Quota(name="daily", quota=Rate(9, "month")),)
    assert limits_of(config, "max") == ()


def test_every_kind_of_limit_is_read(loads: Load) -> None:
    config = loads("""
plans:
  pro:
    limits:
      - {name: steady, rate: 5/s, burst: 10, precision: leased, warn_at: 0.8}
      - {name: window, rate: 100/m, algorithm: sliding-window, per: "header:X-User"}
      - {name: monthly, quota: 1000/month, time_zone: Europe/Berlin, billing_day: 31,
         notify: [0.8, 1.0], per: tenant}
      - {name: parallel, concurrency: 10, lease: 45s, shadow: yes}
      - {name: tokens, rate: 100000/m, unit: tokens}
""")
    steady, window, monthly, parallel, tokens = limits_of(config)
    assert steady == TokenBucket(
        name="steady", rate=Rate(5, "second"), burst=10, precision="leased", warn_at=0.8
    )
    assert isinstance(window, SlidingWindow)
    assert (window.per, window.header, window.on_missing) == ("header:x-user", "x-user", None)
    assert isinstance(monthly, Quota)
    assert (monthly.time_zone, monthly.billing_day) == ("Europe/Berlin", 31)
    assert (monthly.notify, monthly.per) == ((0.8, 1.0), "tenant")
    assert parallel == Concurrency(name="parallel", concurrency=10, lease=45.0, shadow=True)
    assert (tokens.unit, tokens.burst) == ("tokens", 100_000)


def test_what_a_limit_says_comes_back_as_it_was_written(loads: Load) -> None:
    config = loads("""
plans:
  pro:
    limits:
      - {name: steady, rate: 5/s}
      - {name: window, rate: 100/m, algorithm: sliding-window}
      - {name: monthly, quota: 1000/mo, billing_day: 15}
""")
    assert [as_written(limit) for limit in limits_of(config)] == [
        {"name": "steady", "rate": "5/second", "burst": 5},
        {"name": "window", "rate": "100/minute", "algorithm": "sliding-window"},
        {"name": "monthly", "quota": "1000/month", "billing_day": 15},
    ]
    assert as_written(NoLimit(name="daily", quota=None)) == {"name": "daily", "quota": None}


@pytest.mark.parametrize(
    "cost, expected",
    [
        ("5", 5),
        ("{GET: 1, POST: 5, default: 2}", {"GET": 1, "POST": 5, "default": 2}),
        ("{header: X-Cost, default: 2, max: 9}", HeaderCost(header="x-cost", default=2, max=9)),
        ('{function: "costs:cost"}', FunctionCost(function="costs:cost")),
    ],
)
def test_every_kind_of_cost_is_read(loads: Load, cost: str, expected: Any) -> None:
    assert loads(on_route(f"cost: {cost}")).services[0].routes[0].cost == expected


def test_the_file_of_a_cost_is_relative_to_the_configuration(loads: Load, tmp_path: Path) -> None:
    Path("costs.py").write_text("def cost(request): return 1")
    cost = loads(on_route('cost: {function: "costs.py:cost"}')).services[0].routes[0].cost
    assert cost == FunctionCost(function=f"{tmp_path}/costs.py:cost")


def test_every_kind_of_settlement_is_read(loads: Load) -> None:
    route = (
        loads(
            on_route(
                "costs: {tokens: {reserve: 500, settle: {json: usage.total_tokens}}, "
                "rows: {reserve: 1, settle: {header: X-Rows}}}"
            )
        )
        .services[0]
        .routes[0]
    )
    assert route.costs["tokens"].settle == JsonSettlement(json="usage.total_tokens")
    assert route.costs["rows"].settle == HeaderSettlement(header="x-rows")


def test_what_a_reference_brings_is_not_shown_where_an_answer_settles(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    settle = 'costs: {tokens: {reserve: 500, settle: {json: "${WHERE}"}}}'
    path.write_text("version: 1\n" + on_route(settle))
    config = load(path, {"WHERE": "hidden.total"})
    found = config.services[0].routes[0].costs["tokens"].settle
    assert isinstance(found, JsonSettlement)
    assert found.as_written("json_path") == "${WHERE}"


def test_limits_of_a_plans_routes_merge_by_name_along_extends(loads: Load) -> None:
    config = loads("""
plans:
  free:
    rate: 5/s
    on_store_failure: closed
    routes: {search: {limits: [{name: steady, rate: 1/s}, {name: daily, quota: 9/day}]}}
  basic: {extends: free, routes: {search: {rate: 2/s}, talk: {quota: 7/day}}}
  pro: {extends: basic, on_store_failure: open, routes: {search: {quota: null}}}
""")
    basic, pro = config.plans["basic"], config.plans["pro"]
    said = [f"{limit.name} {as_written(limit)}" for limit in pro.routes["search"].limits]
    assert said == ["steady {'name': 'steady', 'rate': '2/second', 'burst': 2}"]
    assert [limit.name for limit in basic.routes["search"].limits] == ["steady", "daily"]
    assert [limit.name for limit in pro.routes["talk"].limits] == ["daily"]
    assert (basic.on_store_failure, pro.on_store_failure) == ("closed", "open")
    assert config.plans["free"].routes.keys() == {"search"}


def test_a_null_stays_where_a_lower_level_has_something_to_take_away(loads: Load) -> None:
    config = loads("""
limits: [{name: all, rate: 100/s}]
plans:
  free: {limits: [{name: steady, rate: 5/s}]}
  pro: {extends: free, limits: [{name: steady, rate: null}, {name: all, rate: null}]}
tenants:
  - {name: acme, plan: free, limits: [{name: steady, rate: null}],
     keys: [{name: ci, value: "k3y", limits: [{name: all, rate: null}]}]}
""")
    assert limits_of(config) == (NoLimit(name="all", rate=None),)
    assert config.tenants[0].limits == (NoLimit(name="steady", rate=None),)
    assert config.tenants[0].keys[0].limits == (NoLimit(name="all", rate=None),)


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "plans: {pro: {limits: [{name: a, quota: 9/day, billing_day: 3}]}}",
            'plans.pro.limits[0].billing_day: found "3"; a billing day begins a month; '
            "write 1000/month, or leave billing_day out",
        ),
        (
            "plans: {pro: {limits: [{name: a, quota: 9/month, billing_day: 32}]}}",
            'plans.pro.limits[0].billing_day: found "32"; write at most 31',
        ),
        (
            "plans: {pro: {limits: [{name: a, quota: 9/day, time_zone: europe/berlin}]}}",
            'plans.pro.limits[0].time_zone: found "europe/berlin"; a time zone is a name of the '
            "IANA list, such as Europe/Berlin or UTC: Europe/Berlin",
        ),
        (
            "plans: {pro: {limits: [{name: a, quota: 9/m, time_zone: Europe/Berlin}]}}",
            'plans.pro.limits[0].time_zone: found "Europe/Berlin"; a minute is the same in every '
            "time zone; leave time_zone out",
        ),
        (
            "plans: {pro: {limits: [{name: a, quota: 9/day, burst: 3}]}}",
            "plans.pro.limits[0].burst: a burst goes with a rate, such as {rate: 5/s, burst: 10}; "
            "a quota, a sliding window or a concurrency has none",
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 9/m, algorithm: sliding-window, burst: 3}]}}",
            "plans.pro.limits[0].burst: a burst goes with a rate, such as {rate: 5/s, burst: 10}; "
            "a quota, a sliding window or a concurrency has none",
        ),
        (
            "plans: {pro: {limits: [{name: a, concurrency: 9, precision: leased}]}}",
            "plans.pro.limits[0].precision: only a token bucket or a quota has it, not a sliding "
            "window or a concurrency",
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 9/m, precision: leased, shadow: true}]}}",
            'plans.pro.limits[0].precision: found "leased"; leased counts requests and refuses; '
            "write exact, or leave shadow and unit out",
        ),
        (
            "plans: {pro: {limits: [{name: a, quota: 9/mo, billing_day: 5, precision: leased}]}}",
            'plans.pro.limits[0].precision: found "leased"; leased counts in months of UTC; write '
            "exact, or leave the other out",
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 9/m, algorithm: fixed-window}]}}",
            'plans.pro.limits[0].algorithm: found "fixed-window"; write token-bucket or '
            'sliding-window, did you mean "sliding-window"?',
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 9/month, algorithm: sliding-window}]}}",
            'plans.pro.limits[0].rate: found "9/month"; a sliding window is as long as a second, '
            "minute, hour or day; months differ",
        ),
        (
            "plans: {pro: {limits: [{name: a, concurrency: 5, unit: tokens}]}}",
            'plans.pro.limits[0].unit: found "tokens"; a concurrency counts requests in flight; '
            "leave unit out",
        ),
        (
            "plans: {pro: {limits: [{name: a, concurrency: 5, rate: 5/s}]}}",
            "plans.pro.limits[0].concurrency: a limit is a rate, a quota or a concurrency; "
            "write two limits",
        ),
        (
            "plans: {pro: {limits: [{name: a, concurrency: 5, lease: 10ms}]}}",
            'plans.pro.limits[0].lease: found "10ms"; a lease is 1s to 1h',
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, per: ip}]}}",
            'plans.pro.limits[0].per: found "ip"; write key, tenant, address, route, global or '
            "header:NAME: address",
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, per: header}]}}",
            'plans.pro.limits[0].per: found "header"; name the header whose values are counted: '
            "header:X-User-Id",
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, on_missing: key}]}}",
            'plans.pro.limits[0].on_missing: found "key"; on_missing tells what a missing header '
            "means: it needs per: header:NAME",
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, warn_at: 80}]}}",
            'plans.pro.limits[0].warn_at: found "80"; write at most 1',
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, warn_at: 0}]}}",
            'plans.pro.limits[0].warn_at: found "0"; write more than 0',
        ),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, unit: token}]}}",
            'plans.pro.limits[0].unit: found "token", in which no route has a cost, so that '
            'it would never count, did you mean "tokens"?',
        ),
        (
            "plans: {pro: {routes: {search: {limits: [{name: a, rate: 5/s, unit: tokens}]}}}}",
            'plans.pro.routes.search.limits[0].unit: found "tokens", in which the route search '
            "has no cost, so that it would never count; say what requests cost under costs of a "
            "route",
        ),
        (
            "plans: {pro: {routes: {serch: {rate: 5/s}}}}",
            'plans.pro.routes.serch: there is no route of this name, did you mean "search"?',
        ),
        (
            "plans: {pro: {routes: {open: {rate: 5/s}}}}",
            "plans.pro.routes.open: this route has auth: none, so that no plan is known there; "
            "say it under the route's own limits",
        ),
        (
            "plans: {pro: {routes: [search]}}",
            "plans.pro.routes: found a list; write a mapping",
        ),
        (
            "plans: {pro: {routes: {search: {limit: 5/s}}}}",
            'plans.pro.routes.search.limit: unknown field, did you mean "limits"?',
        ),
        (
            "limits: [{name: a, rate: 5/s, per: 'header:X-User', on_missing: key}]",
            'limits[0].on_missing: found "key", but the route open has auth: none, so that no key '
            "or tenant is known there; write refuse or address",
        ),
        (
            "limits: [{name: a, rate: null}]",
            'limits[0].rate: null removes an inherited limit, but none is named "a"',
        ),
        (
            "limits: [{name: a, rate: 5/s}, {name: a, rate: 6/s}]",
            'limits[1].name: the list has "a" twice (first on line 2)',
        ),
        (
            "plans: {pro: {rate: 5/s}}\n"
            "tenants: [{name: acme, plan: pro, limits: [{name: stedy, rate: null}]}]",
            "tenants[0].limits[0].rate: null removes an inherited limit, but none is named "
            '"stedy", did you mean "steady"?',
        ),
        (
            on_route("auth: none, limits: [{name: a, rate: 5/s}]"),
            "services[0].routes[0].limits[0]: a limit counts per key, but this route has auth: "
            "none, so that no key or tenant is known there; write per: address, route, global or "
            "header:NAME",
        ),
        (
            on_route("auth: none, limits: [{name: a, rate: 5/s, per: tenant}]"),
            'services[0].routes[0].limits[0].per: found "tenant", but this route has auth: none, '
            "so that no key or tenant is known there; write per: address, route, global or "
            "header:NAME",
        ),
        (
            on_route("cost: {}"),
            "services[0].routes[0].cost: found a mapping; write at least one",
        ),
        (
            on_route("cost: {get: 1}"),
            'services[0].routes[0].cost.get: found "get"; a method is written in capitals: GET',
        ),
        (
            on_route("cost: {header: X-Cost, default: 5, max: 2}"),
            'services[0].routes[0].cost.default: found "5"; the default is at most max',
        ),
        (
            on_route("cost: {header: X-Cost, maximum: 2}"),
            'services[0].routes[0].cost.maximum: unknown field, did you mean "max"?',
        ),
        (
            on_route("costs: {requests: {reserve: 5}}"),
            'services[0].routes[0].costs.requests: found "requests"; what a request costs in '
            "requests is said by cost, beside costs",
        ),
        (
            on_route("costs: {tokens: {reserve: 5, settle: {json: 'usage[0]'}}}"),
            'services[0].routes[0].costs.tokens.settle.json: found "usage[0]"; write the fields '
            "on the way to the number, such as usage.total_tokens, or several such paths with + "
            "between (at most 8)",
        ),
        (
            on_route("costs: {tokens: {reserve: 5, settle: {body: usage}}}"),
            "services[0].routes[0].costs.tokens.settle: found a mapping; write {header: X-Tokens} "
            "or {json: usage.total_tokens}",
        ),
        (
            on_route("on_store_failure: fail"),
            'services[0].routes[0].on_store_failure: found "fail"; write open, closed or local',
        ),
    ],
)
def test_a_mistake_gives_its_message(loads: Load, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert [f"{one.field}: {one.message}" for one in caught.value.problems] == [expected]


@pytest.mark.parametrize(
    "text, is_refused",
    [
        ("plans: {pro: {rate: 5/s}}" + on_route("cost: {GET: 1, POST: 50}"), True),
        ("plans: {pro: {rate: 5/s}}" + on_route("cost: {header: X-Cost, default: 6}"), True),
        ("plans: {pro: {rate: 5/s}}" + on_route("cost: {header: X-Cost, max: 50}"), False),
        ("limits: [{name: all, rate: 5/s}]" + on_route("cost: 50"), False),
        ("limits: [{name: a, rate: 5/s, per: global}]" + on_route("auth: none, cost: 50"), True),
        ("plans: {pro: {limits: [{name: a, concurrency: 5}]}}" + on_route("cost: 50"), False),
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s, shadow: true}]}}" + on_route("cost: 50"),
            False,
        ),
        # What a higher level says in its place is what has to hold the cost.
        (
            "plans: {pro: {rate: 5/s, routes: {search: {rate: 5/s, burst: 50}}}}"
            + on_route("cost: 50"),
            False,
        ),
        (
            "plans: {pro: {rate: 99/s}}\ntenants: [{name: acme, plan: pro, "
            "limits: [{name: steady, rate: 5/s}]}]" + on_route("cost: 50"),
            True,
        ),
        (
            "plans: {pro: {rate: 99/s}}\ntenants: [{name: acme, plan: pro, keys: [{name: ci, "
            "value: k3y, limits: [{name: steady, rate: 5/s}]}]}]" + on_route("cost: 50"),
            True,
        ),
    ],
)
def test_a_cost_beyond_what_a_limit_ever_holds_is_refused(
    loads: Load, text: str, is_refused: bool
) -> None:
    """Callers whose every request is refused could wait for ever."""
    if not is_refused:
        loads(text)
        return
    with pytest.raises(ConfigError, match="its callers could never be served"):
        loads(text)


def test_limits_have_places_at_every_level(loads: Load) -> None:
    places = loads("""limits: [{name: a, rate: 100/s}]
plans:
  free: {rate: 5/s}
  pro:
    extends: free
    routes:
      search:
        limits: [{name: a, rate: 1/s}]
tenants:
  - name: acme
    plan: pro
    limits: [{name: a, rate: 1/s}]
    keys:
      - name: ci
        value: k3y
        limits: [{name: a, rate: 1/s}]
""").places
    lines = {
        "everybody/a": 2,
        "plan/free/steady": 4,
        "plan/pro/steady": 4,
        "plan on route/pro/search/a": 9,
        "tenant/acme/a": 13,
        "key/acme/ci/a": 17,
    }
    assert {name: places.mark("limit", name).line for name in lines} == lines


@pytest.mark.parametrize(
    "before, after, expected",
    [
        (
            "plans: {pro: {limits: [{name: a, rate: 5/s}]}}",
            "plans: {pro: {limits: [{name: a, rate: 5/s, algorithm: sliding-window}]}}",
            ["plan pro, limit a: rate 5/second → rate 5/second, algorithm sliding-window"],
        ),
        (
            "plans: {pro: {rate: 5/s}}\ntenants: [{name: acme, plan: pro}]",
            "plans: {pro: {rate: 5/s}}\n"
            "tenants: [{name: acme, plan: pro, limits: [{name: steady, rate: null}]}]",
            ["tenant acme, limit steady added: rate null"],
        ),
        (
            "plans: {pro: {routes: {search: {rate: 1/s}}}}",
            "plans: {pro: {routes: {search: {rate: 2/s}, talk: {rate: 2/s}}}}",
            [
                "plan pro, route search, limit steady: rate 1/second → 2/second",
                "plan pro, route talk added",
            ],
        ),
        (
            "plans: {pro: {limits: [{name: a, quota: 9/day, warn_at: 0.5, notify: [0.8]}]}}",
            "plans: {pro: {limits: [{name: a, quota: 9/day, warn_at: 0.9, notify: [0.8, 1]}]}}",
            ["plan pro, limit a: warn_at 0.5 → 0.9", "plan pro, limit a: notify 0.8 → 0.8, 1"],
        ),
        (
            on_route("cost: 2"),
            on_route("cost: {GET: 1, POST: 5}"),
            ["service shop, route search: cost 2 → GET 1, POST 5"],
        ),
        (
            on_route("cost: 2"),
            on_route("cost: {header: X-Cost, max: 5}"),
            ["service shop, route search: cost 2 → header x-cost, max 5"],
        ),
        (
            on_route("costs: {tokens: {reserve: 5}}"),
            on_route("costs: {tokens: {reserve: 6}}"),
            ["service shop, route search, cost tokens: reserve 5 → 6"],
        ),
    ],
)
def test_each_change_is_told_in_words(
    loads: Load, before: str, after: str, expected: list[str]
) -> None:
    assert differences(loads(before), loads(after)) == expected
