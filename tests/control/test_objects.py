"""Tenants, plans, limits, routes, nodes, usage: what is written is what workers see."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.control.conftest import TOKEN, Client, MakeApplication, client_of
from tests.identity.conftest import known
from tidegate.config import Config, load
from tidegate.gateway import Node, announced
from tidegate.identity import KeyResolver
from tidegate.rate_limiter import Limiter, caller_counters
from tidegate.store import Store

Eventually = Callable[..., Awaitable[None]]
GOLD = {
    "limits": [
        {"name": "steady", "rate": "100/s", "burst": 200},
        {"name": "daily", "quota": "1000/day", "per": "tenant"},
    ]
}


async def test_plans_and_tenants_are_created_replaced_and_deleted(admin: Client) -> None:
    made = await admin.put("/v1/plans/gold", json=GOLD)
    assert made.status_code == 201
    assert made.json()["limits"][0]["rate"] == "100/second"
    assert (await admin.put("/v1/tenants/acme", json={"plan": "gold"})).status_code == 201
    assert (await admin.put("/v1/tenants/acme", json={"plan": "gold"})).status_code == 200
    assert (await admin.get("/v1/tenants/acme")).json()["plan"] == "gold"
    assert (await admin.delete("/v1/plans/gold")).status_code == 409
    assert (await admin.delete("/v1/tenants/acme")).status_code == 200
    assert (await admin.delete("/v1/plans/gold")).status_code == 200
    for path in ("/v1/tenants/acme", "/v1/plans/gold"):
        assert (await admin.get(path)).status_code == 404
        assert (await admin.delete(path)).status_code == 404
    assert (await admin.put("/v1/tenants/acme", json={"plan": "gold"})).status_code == 404


async def test_a_changed_plan_reaches_a_worker_by_itself(
    admin: Client, config: Config, store: Store, eventually: Eventually
) -> None:
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    await admin.put("/v1/plans/gold", json=GOLD)
    await admin.put("/v1/tenants/acme", json={"plan": "gold"})
    key = (await admin.post("/v1/keys", json={"tenant": "acme", "name": "ci"})).json()["key"]
    assert (await resolver.resolve(key.encode())).own.plan[0].burst == 200
    less = {"limits": [{"name": "steady", "rate": "1/s", "burst": 3}]}
    await admin.put("/v1/plans/gold", json=less)
    await eventually(lambda: known(resolver, key.encode()) is None, 1.0)
    assert (await resolver.resolve(key.encode())).own.plan[0].burst == 3
    resolver.close()


@pytest.mark.parametrize("path", ["/v1/plans/gold", "/v1/tenants/acme"])
async def test_a_change_for_another_state_is_refused(admin: Client, path: str) -> None:
    body = {"limits": []} if "plans" in path else {"plan": "free"}
    made = await admin.put(path, json=body, headers={"if-none-match": "*"})
    tag = made.headers["etag"]
    assert (await admin.get(path)).headers["etag"] == tag
    again = await admin.put(path, json=body, headers={"if-none-match": "*"})
    assert again.status_code == 412
    changed = await admin.put(path, json=body, headers={"if-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    lost = await admin.put(path, json=body, headers={"if-match": tag})
    assert lost.status_code == 412
    assert lost.json()["type"] == "urn:tidegate:problem:object-changed"


async def test_what_the_file_says_is_refused_with_its_line(admin: Client) -> None:
    for path, body, line in (
        ("/v1/plans/free", {"limits": []}, 3),
        ("/v1/tenants/demo", {"plan": "free"}, 5),
    ):
        shown = (await admin.get(path)).json()
        assert shown["origin"] == "file"
        for answer in (await admin.put(path, json=body), await admin.delete(path)):
            assert answer.status_code == 409
            assert answer.json()["defined_in"] == shown["defined_in"]
            assert answer.json()["defined_in"].endswith(f"gate.yaml:{line}")


async def test_what_leaves_the_file_is_revoked_and_not_inherited(
    make_application: MakeApplication, admin: Client, config: Config, store: Store
) -> None:
    await admin.post("/v1/keys", json={"tenant": "demo", "name": "ci"})
    without = config.model_copy(update={"tenants": ()})
    app = make_application(without)
    async with app.router.lifespan_context(app), client_of(app) as later:
        later.headers["authorization"] = admin.headers["authorization"]
        assert (await later.get("/v1/tenants/demo")).status_code == 404
        assert (await later.put("/v1/tenants/demo", json={"plan": "free"})).status_code == 409
        assert (await later.delete("/v1/tenants/demo")).status_code == 200
        assert (await later.get("/v1/keys")).json()["items"] == []
        assert (await later.put("/v1/tenants/demo", json={"plan": "free"})).status_code == 201


@pytest.mark.parametrize(
    "limits",
    [
        [{"name": "a", "rate": "5/s"}, {"name": "a", "quota": "5/day"}],
        [{"name": "a", "rate": "1/month", "burst": 10**9}],
        [{"name": "a", "rate": "0/s"}],
        [{"name": "a", "rate": "5/year"}],
        [{"name": "a b", "rate": "5/s"}],
        [{"name": "a", "rate": "5/s", "quota": "5/day"}],
        [{"name": "a"}],
        [{"name": "a", "rate": "5/s", "per": "planet"}],
        [{"name": f"l{n}", "rate": "5/s"} for n in range(17)],
    ],
)
async def test_limits_that_the_file_could_not_say_are_refused(
    admin: Client, limits: list[dict[str, object]]
) -> None:
    answer = await admin.put("/v1/plans/gold", json={"limits": limits})
    assert answer.status_code == 422
    assert (await admin.get("/v1/plans/gold")).status_code == 404


async def test_a_plan_has_the_routes_it_names(admin: Client) -> None:
    allow = [{"route": "things", "methods": ["GET"]}]
    made = await admin.put("/v1/plans/gold", json={"limits": [], "allow": allow})
    assert made.json()["allow"] == allow
    assert (await admin.get("/v1/plans/gold")).json()["allow"] == allow
    for wrong in ([{"route": "nope"}], [], [{"route": "things"}, {"route": "things"}]):
        answer = await admin.put("/v1/plans/gold", json={"limits": [], "allow": wrong})
        assert answer.status_code == 422, wrong
    every = await admin.put("/v1/plans/gold", json={"limits": [], "allow": None})
    assert every.json()["allow"] is None


async def test_limits_are_shown_and_filled_again(
    admin: Client, config: Config, store: Store
) -> None:
    (key,) = (await admin.get("/v1/keys")).json()["items"]
    limiter = Limiter(store)
    subject = limiter.subject(caller_counters("demo", key["id"], config.plans["free"].limits))
    await limiter.ask(subject, (4,))
    path = f"/v1/keys/{key['id']}/limits"
    for _ in range(2):
        shown = (await admin.get(path)).json()
        left = {limit["name"]: limit["remaining"] for limit in shown["limits"]}
        assert left["month"] == 996
        assert 6 <= left["steady"] <= 10
    shared = (await admin.get("/v1/tenants/demo/limits")).json()
    assert [(limit["name"], limit["remaining"]) for limit in shared["limits"]] == [("month", 996)]
    assert (await admin.post(f"{path}/reset")).json()["states"] == 1
    left = {limit["name"]: limit["remaining"] for limit in (await admin.get(path)).json()["limits"]}
    assert left == {"month": 996, "steady": 10}
    assert (await admin.post("/v1/tenants/demo/limits/reset")).json()["states"] == 1
    assert (await admin.get("/v1/tenants/demo/limits")).json()["limits"][0]["remaining"] == 1000
    for missing in ("/v1/keys/key_000000000000/limits", "/v1/tenants/nobody/limits"):
        assert (await admin.get(missing)).status_code == 404
        assert (await admin.post(f"{missing}/reset")).status_code == 404


async def test_a_tenant_whose_plan_is_gone_is_no_404(admin: Client, store: Store) -> None:
    await admin.put("/v1/plans/gold", json=GOLD)
    await admin.put("/v1/tenants/acme", json={"plan": "gold"})
    await store.execute("DEL", "tg:plan:gold")
    assert (await admin.get("/v1/tenants/acme/limits")).status_code == 503


async def test_routes_are_shown_as_they_run(app: FastAPI, admin: Client) -> None:
    items = (await admin.get("/v1/routes")).json()["items"]
    assert [route["name"] for route in items] == ["things", "open"]
    for shown, compiled in zip(items, app.state.parts.gateway.snapshot.routes, strict=True):
        assert shown["policies"] == [name for name, _ in compiled.policies]
    assert (await admin.get("/v1/routes/open")).json() == items[1]
    assert items[1]["defined_in"].endswith("gate.yaml:11")
    assert (await admin.get("/v1/routes/nope")).status_code == 404


async def test_what_references_bring_is_not_shown(
    make_application: MakeApplication, tmp_path: Path
) -> None:
    path = tmp_path / "referring.yaml"
    path.write_text(
        """\
version: 1
services:
  - name: things
    targets: ["http://${PLACE}:9", "http://127.0.0.1:9000"]
    routes: [{name: things, hosts: ["${PLACE}.example"], paths: ["/${PLACE}"], auth: none}]
"""
    )
    app = make_application(load(path, {"PLACE": "hidden"}))
    async with app.router.lifespan_context(app), client_of(app) as admin:
        admin.headers["authorization"] = f"Bearer {TOKEN}"
        answers = [
            await admin.get("/v1/routes/things"),
            await admin.get("/v1/routes"),
            await admin.post("/v1/explain", json={"target": "/hidden", "host": "hidden.example"}),
        ]
    shown = answers[0].json()
    assert shown["targets"] == ["http://${PLACE}:9", "http://127.0.0.1:9000"]
    assert (shown["hosts"], shown["paths"]) == (["${PLACE}.example"], ["/${PLACE}"])
    assert answers[1].json()["items"] == [shown]
    assert answers[2].json()["targets"] == shown["targets"]


async def test_nodes_that_are_alive_are_listed(
    admin: Client, config: Config, store: Store, eventually: Eventually
) -> None:
    node = Node.here("worker", "0.1.0", config)
    async with announced(store, node):
        items: list[dict[str, object]] = []
        while not items:
            shown = (await admin.get("/v1/nodes")).json()
            items = shown["items"]
        assert [(one["id"], one["config"]) for one in items] == [(node.id, shown["config"])]


async def test_decision_records_are_paged_from_a_time_on(admin: Client, store: Store) -> None:
    for at_ms, status in ((5_000, 200), (6_000, 429), (7_000, 200)):
        record = json.dumps({"status": status, "weight": 1})
        await store.execute("XADD", "tg:decisions", f"{at_ms}-0", "r", record)
    page = (await admin.get("/v1/decisions", params={"since": 6, "limit": 1})).json()
    assert page["items"] == [{"status": 429, "weight": 1}]
    after = {"cursor": page["next_cursor"], "limit": 2}
    assert (await admin.get("/v1/decisions", params=after)).json() == {
        "items": [{"status": 200, "weight": 1}],
        "next_cursor": None,
    }
    nowhere = (await admin.get("/v1/decisions", params={"cursor": "bm93aGVyZQ"})).json()
    assert nowhere == {"items": [], "next_cursor": None}


async def test_usage_is_summed_by_what_is_asked(admin: Client, store: Store) -> None:
    minute = int(time.time()) // 60
    for at, key in ((minute, "key_a"), (minute - 1, "key_b")):
        await store.execute(
            "HSET", f"tg:usage:{{demo}}:{at}",
            f"{key}:things:requests", 3, f"{key}:things:refused", 1, f"{key}:things:bytes", 20,
        )  # fmt: skip
    asked = {"tenant": "demo", "until": minute * 60 + 59}
    by_key = (await admin.get("/v1/usage", params=asked)).json()
    assert by_key["items"] == [
        {"of": key, "requests": 3, "refused": 1, "bytes": 20} for key in ("key_a", "key_b")
    ]
    by_route = (await admin.get("/v1/usage", params={**asked, "by": "route"})).json()
    assert by_route["items"] == [{"of": "things", "requests": 6, "refused": 2, "bytes": 40}]
    last = (await admin.get("/v1/usage", params={**asked, "by": "minute", "minutes": 1})).json()
    assert [item["of"] for item in last["items"]] == [str(minute * 60)]


async def test_explain_says_what_would_become_of_a_request(admin: Client) -> None:
    asked = {"target": "/api/v1/x", "key": "user_1"}
    explained = (await admin.post("/v1/explain", json=asked)).json()
    assert (explained["verdict"], explained["route"], explained["cost"]) == (
        "forwarded", "things", 2,
    )  # fmt: skip
    assert "user_1" not in explained["chain"]
    unknown = (await admin.post("/v1/explain", json={"target": "/api/v1/x", "key": "nope"})).json()
    assert (unknown["verdict"], unknown["status"]) == ("refused", 401)
    nowhere = (await admin.post("/v1/explain", json={"target": "/nowhere"})).json()
    assert (nowhere["verdict"], nowhere["status"]) == ("refused", 404)
    assert nowhere["hosts"] == []


async def test_explain_names_the_hosts_that_a_path_has(
    make_application: MakeApplication, tmp_path: Path
) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(
        """\
version: 1
services:
  - name: things
    targets: ["http://127.0.0.1:9000"]
    routes:
      - {name: shop, hosts: [shop.example, "*.shop.example"], paths: [/shop], auth: none}
      - {name: made, hosts: ["${PLACE}.example"], paths: [/shop/made], auth: none}
      - {name: change, hosts: [change.example], methods: [POST], paths: [/shop], auth: none}
      - {name: other, hosts: [other.example], paths: [/other], auth: none}
      - {name: all, paths: [/all], auth: none}
"""
    )
    app = make_application(load(path, {"PLACE": "hidden"}))
    async with app.router.lifespan_context(app), client_of(app) as admin:
        admin.headers["authorization"] = f"Bearer {TOKEN}"

        async def hosts(**asked: str) -> list[str]:
            told: list[str] = (await admin.post("/v1/explain", json=asked)).json()["hosts"]
            return told

        everywhere = ["shop.example", "*.shop.example", "change.example"]
        assert await hosts(target="/shop/x") == everywhere
        assert await hosts(target="/shop/made") == [
            *everywhere[:2],
            "${PLACE}.example",
            everywhere[2],
        ]
        assert await hosts(target="/shop", host="other.example") == everywhere
        assert await hosts(target="http://other.example/shop") == everywhere
        assert await hosts(target="/shop", host="any.shop.example") == []
        for target in ("/nowhere", "/all", "/Shop"):
            assert await hosts(target=target) == []


async def test_metrics_name_no_tenant(admin: Client) -> None:
    answer = await admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "tidegate_requests_total" in answer.text
    assert "tenant" not in answer.text
