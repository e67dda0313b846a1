"""What is left of limits by route and over all tenants, and how those are filled again."""

from pathlib import Path
from typing import Any

import pytest

from tests.control.conftest import Client
from tidegate.config import Config, load
from tidegate.gateway import limits_left
from tidegate.policies.scopes import shared_state
from tidegate.rate_limiter import Counter, Limiter
from tidegate.store import Store

FILE = """\
version: 1
limits:
  - {name: all, rate: 1/h, burst: 50, per: global}
  - {name: home, rate: 1/h, burst: 50, per: address}
plans:
  pro:
    allow: [{route: things}, {route: search}, {route: open}]
    limits:
      - {name: steady, rate: 1/h, burst: 10}
      - {name: month, quota: 1000/month, per: tenant}
      - {name: tokens, rate: 1/h, burst: 500, unit: tokens}
      - {name: user, rate: 1/h, per: "header:x-user"}
    routes:
      search:
        limits:
          - {name: steady, rate: 1/h, burst: 3}
          - {name: pro_search, rate: 1/h, burst: 30, per: route}
tenants:
  - {name: demo, plan: pro, keys: [{name: user_1, value: user_1}]}
services:
  - name: things
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: things, paths: [/things], costs: {tokens: {reserve: 5}}}
      - {name: search, paths: [/search], limits: [{name: here, rate: 1/h, burst: 40, per: route}]}
      - {name: open, paths: [/open], auth: none, limits: [{name: free, rate: 1/h, per: route}]}
      - {name: gold, paths: [/gold], limits: [{name: dear, rate: 1/h, per: route}]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "gate.yaml").write_text(FILE)
    return load(tmp_path / "gate.yaml", {})


async def left(admin: Client, path: str) -> list[tuple[Any, ...]]:
    shown = (await admin.get(path)).json()["limits"]
    return [(one["name"], one["per"], one["route"], one["remaining"]) for one in shown]


async def spend(store: Store, config: Config, per: str, route: str, name: str) -> None:
    limiter = Limiter(store)
    (limit,) = (
        limit
        for found in (config.limits, config.services[0].routes[1].limits)
        for limit in found
        if limit.name == name
    )
    counter = Counter(shared_state(per, route.encode()), (limit,), is_outside=True)
    await limiter.ask(limiter.subject([counter]), (4,))


@pytest.mark.parametrize("at_once", [100, 2])
async def test_what_a_request_need_not_tell_is_shown_with_its_route(
    admin: Client, config: Config, store: Store, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(limits_left, "ASKED_AT_ONCE", at_once)
    await spend(store, config, "route", "search", "here")
    await spend(store, config, "global", "", "all")
    (key,) = (await admin.get("/v1/keys")).json()["items"]
    shared = [
        ("month", "tenant", None, 1000),
        ("all", "global", None, 46),
        ("here", "route", "search", 36),
        ("pro_search", "route", "search", 30),
    ]
    assert await left(admin, "/v1/tenants/demo/limits") == shared
    own = [
        ("steady", "key", None, 10),
        ("tokens", "key", None, 500),
        ("steady", "key", "search", 3),
    ]
    told = await left(admin, f"/v1/keys/{key['id']}/limits")
    assert sorted(told, key=str) == sorted(own + shared, key=str)


async def test_what_counts_over_all_tenants_is_filled_again(
    admin: Client, config: Config, store: Store
) -> None:
    await spend(store, config, "route", "search", "here")
    await spend(store, config, "global", "", "all")
    for body, reset in (({"route": "search"}, "route"), ({"global": True}, "global")):
        for states in (1, 0):
            answer = await admin.post("/v1/limits/reset", json=body)
            assert (answer.status_code, answer.json()) == (200, {"reset": reset, "states": states})
    shown = await left(admin, "/v1/tenants/demo/limits")
    assert [one[3] for one in shown] == [1000, 50, 40, 30]


@pytest.mark.parametrize(
    "per, value, body",
    [
        ("address", b"203.0.113.9", {"address": "203.0.113.9"}),
        ("address", b"2001:db8::/64", {"address": "2001:db8::7"}),
        ("header:x-user", b"ada", {"header": "X-User", "value": "ada"}),
    ],
)
async def test_an_address_and_a_header_s_value_are_reset(
    admin: Client, store: Store, per: str, value: bytes, body: dict[str, str]
) -> None:
    state = shared_state(per, value)
    await store.execute("MSET", state, "spent", state + b":p:pro", "spent")
    answer = await admin.post("/v1/limits/reset", json=body)
    assert answer.json() == {"reset": per.partition(":")[0], "states": 2}


@pytest.mark.parametrize(
    "body, status, told",
    [
        ({}, 422, "body: write exactly one of address, route, global, header"),
        (
            {"address": "203.0.113.9", "route": "search"},
            422,
            "body: write exactly one of address, route, global, header",
        ),
        ({"address": "203.0.113.0/24"}, 422, "write an address, such as 203.0.113.9"),
        ({"header": "X-*", "value": "ada"}, 422, "body.header"),
        ({"route": "nope"}, 404, "There is no route nope: the routes are things, search"),
    ],
)
async def test_what_cannot_be_reset_is_told(
    admin: Client, body: dict[str, str], status: int, told: str
) -> None:
    answer = await admin.post("/v1/limits/reset", json=body)
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True)
