"""The limit policy: charged once, refused with everything a client needs, shown on every answer."""

import json

BURST = [{"name": "steady", "rate": "1/h", "burst": 3}]


async def test_the_burst_passes_and_the_next_request_is_a_429_problem(tidegate_kit):
    kit = await tidegate_kit(plan=BURST)
    answers = [await kit.get("/api/x") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["2", "1", "0", "0"]
    assert len(kit.upstream.requests) == 3
    problem = json.loads(answers[3].body)
    assert problem["status"] == 429
    assert problem["violated-policies"] == ["steady"]
    assert 3500 < int(answers[3].header("retry-after")) <= 3600


async def test_an_error_behind_the_limit_still_tells_the_limits(tidegate_kit):
    kit = await tidegate_kit(plan=BURST)
    await kit.upstream.aclose()
    answer = await kit.get("/api/x")
    assert answer.status in (502, 503)
    assert answer.header("x-ratelimit-remaining") == "2"
    assert answer.header("x-request-id") is not None


async def test_a_route_can_cost_more(tidegate_kit):
    kit = await tidegate_kit(plan=BURST, route={"cost": 2})
    assert [(await kit.get("/api/x")).status for _ in range(2)] == [200, 429]


async def test_a_wrong_key_spends_nothing_and_reaches_nobody(tidegate_kit):
    kit = await tidegate_kit(plan=BURST)
    for key in (None, "", "nobody", "tg_live_x", "premium_user "):
        answer = await kit.get("/api/x", key=key)
        assert answer.status == 401, key
        assert answer.header("www-authenticate") is not None
        assert answer.header("x-ratelimit-remaining") is None
    assert kit.upstream.requests == []
    assert (await kit.get("/api/x")).header("x-ratelimit-remaining") == "2"


async def test_a_plan_without_limits_has_no_limit_fields(tidegate_kit):
    kit = await tidegate_kit()
    answer = await kit.get("/api/x")
    assert answer.status == 200
    assert answer.header("x-ratelimit-limit") is None


async def test_a_state_the_script_cannot_read_is_a_503_and_never_an_admission(
    tidegate_kit, tidegate_store
):
    kit = await tidegate_kit(plan=BURST)
    await kit.get("/api/x")
    (state,) = await tidegate_store.execute("KEYS", "tg:limits:*")
    await tidegate_store.execute("DEL", state)
    await tidegate_store.execute("LPUSH", state, "foreign")
    answer = await kit.get("/api/x")
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert len(kit.upstream.requests) == 1


async def test_a_service_cannot_speak_for_the_limits(tidegate_kit):
    kit = await tidegate_kit(plan=BURST)
    own = b"X-RateLimit-Limit: 9\r\nX-RateLimit-Remaining: 9\r\nRateLimit: theirs\r\n"
    kit.upstream.script = [b"HTTP/1.1 200 OK\r\n" + own + b"content-length: 0\r\n\r\n"]
    answer = await kit.get("/api/x")
    said = [value for name, value in answer.headers if name.lower().startswith(b"x-ratelimit-r")]
    assert answer.header("x-ratelimit-limit") == "3"
    assert len(said) == 2
    assert [value for _, value in answer.headers].count(b"theirs") == 0
