"""Costs through the whole chain, as clients meet them; what a service says settles them."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.config import Config, load
from tidegate.gateway.explain import explain
from tidegate.testing import Kit, ScriptedUpstream

EXAMPLES = Path(__file__).parents[2] / "examples"
USED = (200, {"content-type": "application/json"}, b'{"usage":{"total_tokens":30}}')
TOKENS = {"tokens": {"reserve": 40, "settle": {"json": "usage.total_tokens"}}}
OWN = """
def cost(request):
    caller = request.context.caller
    return {b"/api/dear": 4}.get(request.path, 1) if caller.tenant == "acme" else 1

def estimate(request):
    return 5 + len(request.body) // 4

def raises(request):
    raise ValueError("the secret is hunter2")
"""


@pytest.fixture
async def opened(tidegate_kit: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """`await opened(**route)`: a kit whose limits hold 10 requests and 100 tokens."""
    (tmp_path / "costs.py").write_text(OWN)
    async with ScriptedUpstream([USED]) as upstream:

        async def kit_of(per: str = "key", **route: Any) -> Kit:
            limits = [
                {"name": "calls", "rate": "1/day", "burst": 10, "per": per},
                {"name": "tokens", "rate": "1/day", "burst": 100, "unit": "tokens", "per": per},
            ]
            at_route = per != "key"
            route = {"name": "r", "paths": ["/api"]} | route
            config = {
                "version": 1,
                "listen": {"trusted_proxies": ["10.0.0.0/8"]},
                "plans": {"p": {"limits": [] if at_route else limits}},
                "tenants": [
                    {"name": "acme", "plan": "p", "keys": [{"name": "k", "value": "premium_user"}]}
                ],
                "services": [
                    {
                        "name": "s",
                        "targets": [upstream.url],
                        "routes": [route | ({"limits": limits} if at_route else {})],
                    }
                ],
            }
            kit: Kit = await tidegate_kit(config=Config.model_validate(config), directory=tmp_path)
            kit.upstream = upstream
            return kit

        yield kit_of


def left(answer: Any, name: str) -> int:
    found = re.search(rf'"{name}";r=(\d+)', answer.header("ratelimit"))
    assert found is not None
    return int(found[1])


async def test_a_cost_by_method(opened):
    kit = await opened(cost={"POST": 5, "HEAD": 0, "default": 2})
    asked = [await kit.request(method, "/api") for method in ("GET", "POST", "HEAD")]
    assert [left(answer, "calls") for answer in asked] == [8, 3, 3]


async def test_a_cost_from_a_header_of_a_trusted_proxy(opened):
    kit = await opened(cost={"header": "X-Cost", "default": 2, "max": 5})
    proxy, stranger = {"client": "10.0.0.1"}, {"client": "192.0.2.1"}
    answer = await kit.get("/api", headers={"X-Cost": "3"}, **proxy)
    assert left(answer, "calls") == 7
    answer = await kit.get("/api", headers={"X-Cost": "0"}, **stranger)
    assert left(answer, "calls") == 5
    answer = await kit.get("/api", headers={"X-Cost": "99"}, **proxy)
    assert left(answer, "calls") == 0
    answer = await kit.get("/api", headers={"X-Cost": "much"}, **proxy)
    assert answer.status == 400
    assert json.loads(answer.body)["header"] == "x-cost"
    assert len(kit.upstream.requests) == 3


async def test_a_cost_by_a_function_that_sees_who_calls(opened):
    kit = await opened(cost={"function": "costs.py"})
    answers = [await kit.get(path) for path in ("/api/dear", "/api/else", "/api/dear")]
    assert [left(answer, "calls") for answer in answers] == [6, 5, 1]


async def test_a_function_that_raises_is_a_500_that_tells_nothing_and_spends_nothing(
    opened, tmp_path, caplog
):
    kit = await opened(cost={"function": "costs.py:raises"})
    answer = await kit.get("/api")
    assert answer.status == 500
    assert json.loads(answer.body)["type"].endswith(":policy-failed")
    for secret in (b"hunter2", b"costs.py", str(tmp_path).encode()):
        assert secret not in answer.body
    assert "hunter2" in caplog.text
    assert kit.upstream.requests == []
    assert await kit.gateway.store.execute("KEYS", "tg:limits:*") == []


async def test_the_function_on_the_page_does_what_the_page_says(opened, tmp_path):
    page = (EXAMPLES.parent / "docs" / "limits.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    assert "def cost(request: Request) -> int:" in code
    (tmp_path / "costs.py").write_text(code)
    kit = await opened(cost={"function": "costs.py:cost"})
    answers = [await kit.get(path) for path in ("/api/x", "/api/export")]
    assert [left(answer, "calls") for answer in answers] == [9, 4]


async def test_a_wrong_key_is_told_before_the_cost_is_asked_for(opened):
    kit = await opened(cost={"function": "costs.py:raises"})
    assert (await kit.get("/api", key="nobody")).status == 401


async def test_tokens_are_reserved_and_settled(opened):
    kit = await opened(costs=TOKENS)
    asked = [await kit.get("/api") for _ in range(4)]
    assert [answer.status for answer in asked] == [200, 200, 200, 429]
    assert [left(answer, "tokens") for answer in asked] == [60, 30, 0, 10]
    assert json.loads(asked[3].body)["violated-policies"] == ["tokens"]
    assert [left(answer, "calls") for answer in asked] == [9, 8, 7, 7]


async def test_an_estimate_may_be_made_from_the_request(opened):
    costs = {"tokens": TOKENS["tokens"] | {"reserve": {"function": "costs.py:estimate"}}}
    kit = await opened(costs=costs)
    answers = [await kit.post("/api", body=b"x" * 60), await kit.post("/api", body=b"x" * 4000)]
    assert [left(answer, "tokens") for answer in answers] == [100 - 20, 100 - 30]
    # 1,005 were estimated: as much as the limit holds, but not as much as was left.
    assert answers[1].status == 429
    assert left(await kit.post("/api"), "tokens") == 100 - 30 - 5


@pytest.mark.parametrize("per", ["address", "route", "global"])
async def test_without_keys_tokens_are_counted_outside_of_tenants(opened, per):
    kit = await opened(per=per, auth=(), costs=TOKENS)
    answers = [await kit.get("/api", key=None) for _ in range(3)]
    assert [left(answer, "tokens") for answer in answers] == [60, 30, 0]


async def test_what_the_cache_answers_uses_no_tokens(opened):
    kit = await opened(costs=TOKENS, cache={"default_ttl": 60})
    answers = [await kit.get("/api") for _ in range(4)]
    assert [answer.header("x-cache") for answer in answers] == ["MISS", "HIT", "HIT", "HIT"]
    assert [left(answer, "tokens") for answer in answers] == [60, 30, 30, 30]
    assert [left(answer, "calls") for answer in answers] == [9, 8, 7, 6]
    assert kit.upstream.requests[0].get_all(b"accept-encoding") == [b"identity"]


async def test_what_the_store_did_not_let_through_is_not_settled_in_it(opened):
    kit = await opened(costs=TOKENS)
    await kit.get("/api")
    await kit.gateway.store.connection.aclose()
    headers = {"Accept-Encoding": "gzip"}
    asked = [await kit.get("/api", headers=headers) for _ in range(3)]
    assert [answer.header("tidegate-degraded") for answer in asked] == ["local"] * 3
    assert kit.upstream.requests[1].get_all(b"accept-encoding") == [b"gzip"]
    # A worker's part: 70 were left, and what is reserved stands.
    assert [answer.status for answer in asked] == [200, 429, 429]


async def test_a_number_beyond_all_measure_passes_as_the_service_sent_it(opened):
    kit = await opened(costs=TOKENS)
    event = b'data: {"usage":{"total_tokens":1' + b"0" * 400 + b"}}\n\n"
    fields = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (event, b"abc", b"")]
    kit.upstream.script = [[b"HTTP/1.1 200 OK\r\n" + fields, *chunks]]
    answer = await kit.get("/api")
    assert (answer.status, answer.body) == (200, event + b"abc")
    assert left(await kit.get("/api"), "tokens") == 0


async def test_what_was_reserved_in_a_window_that_has_ended_is_not_given_back_to_the_next(
    tidegate_kit, tmp_path
):
    """A policy makes the exchange begin forty days ago: as long as if it had lasted till now."""
    (tmp_path / "early.py").write_text(
        "def build():\n"
        "    async def policy(request, call_next):\n"
        "        request.context.started_at -= 40 * 86_400\n"
        "        return await call_next(request)\n"
        "    return policy\n"
    )
    kit = await tidegate_kit(
        plan=[{"name": "tokens", "quota": "100/month", "unit": "tokens"}],
        route={"costs": TOKENS, "policies": [{"use": "early.py", "before": "forward"}]},
        directory=tmp_path,
    )
    kit.upstream.script = [USED]
    answers = [await kit.get("/api") for _ in range(3)]
    assert [left(answer, "tokens") for answer in answers] == [60, 20, 20]


async def test_a_plan_that_counts_no_tokens_has_nothing_settled(opened):
    kit = await opened(costs={"images": TOKENS["tokens"]})
    headers = {"Accept-Encoding": "gzip"}
    assert (await kit.get("/api", headers=headers)).status == 200
    assert kit.upstream.requests[0].get_all(b"accept-encoding") == [b"gzip"]


async def test_explain_tells_which_limit_would_refuse_what_is_to_be_reserved(opened):
    kit = await opened(cost={"GET": 2}, costs=TOKENS)
    for _ in range(3):
        await kit.get("/api")
    explained = await explain(kit.gateway, "GET", "/api", key="premium_user")
    assert explained.cost == 2
    assert [(limit.name, limit.refuses) for limit in explained.limits] == [
        ("calls", False),
        ("tokens", True),
    ]


async def test_settling_stands_right_behind_the_limits(opened):
    kit = await opened(cost={"POST": 5}, costs=TOKENS)
    route = kit.gateway.snapshot.routes[0]
    names = [name for name, _ in route.policies]
    assert names[names.index("limit") : names.index("forward")] == ["limit", "settle"]


async def test_the_example_counts_the_tokens_of_whole_answers_and_of_streams(tidegate_kit):
    config = load(EXAMPLES / "llm_gateway.yaml")
    kit = await tidegate_kit(config=config, directory=EXAMPLES)
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell me more"}]}
    streamed = {"stream": True, "max_tokens": 5}  # without stream_options: llm_usage.py adds them
    answers = [
        await kit.post(
            "/v1/chat/completions",
            key=None,
            headers={"Authorization": "Bearer sk-demo", "Content-Type": "application/json"},
            body=json.dumps(asked | more).encode(),
        )
        for more in ({"max_tokens": 80}, streamed, {"max_tokens": 1})
    ]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[1].body.endswith(b"data: [DONE]\n\n")
    # 500 are reserved; 83 and 8 were used. 15 s would bring 500 back by themselves.
    assert left(answers[0], "tokens") == 1500
    assert 1500 - 83 <= left(answers[1], "tokens") < 1500
    assert 1500 - 83 - 8 <= left(answers[2], "tokens") < 1500


@pytest.mark.parametrize("field", ["Authorization: Bearer sk-demo", "X-API-Key: sk-demo"])
async def test_the_example_sends_the_providers_key_and_not_the_clients(
    tidegate_kit, tmp_path, field
):
    async with ScriptedUpstream([USED]) as upstream:
        text = (EXAMPLES / "llm_gateway.yaml").read_text()
        text = text.replace("# - {use", "- {use").replace("asgi:llm_service:app", upstream.url)
        (tmp_path / "gate.yaml").write_text(text)
        (tmp_path / "llm_usage.py").write_text((EXAMPLES / "llm_usage.py").read_text())
        config = load(tmp_path / "gate.yaml", {"OPENAI_API_KEY": "sk-proj-1"})
        kit = await tidegate_kit(config=config, directory=tmp_path)
        name, _, value = field.partition(": ")
        path = "/v1/chat/completions"
        answer = await kit.post(path, key=None, headers={name: value}, body=b"{}")
        assert answer.status == 200
        (sent,) = upstream.requests
        assert sent.get_all(b"authorization") == [b"Bearer sk-proj-1"]
        assert not [value for _, value in sent.headers if b"sk-demo" in value or value == b"known"]
