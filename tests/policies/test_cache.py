"""The cache policy in a whole gateway: what is answered from where, and what is forgotten."""

import asyncio
import json

import pytest

from tests.policies.cached_kit import CACHED, answers, cache_of, told
from tidegate.cache.places import ENTRY_PREFIX
from tidegate.http import Headers, Request, Response
from tidegate.store import Store
from tidegate.testing import Kit
from tidegate.testing.scripted_upstream import Act

LIMITS = [{"name": "steady", "rate": "1/h", "burst": 5}]


async def hold(kit: Kit) -> None:
    """Ask for /api/x until this worker's memory has it."""
    for _ in range(500):
        await kit.get("/api/x")
        if len(cache_of(kit).memory) == 1:
            return
        await asyncio.sleep(0.01)
    pytest.fail("no copy was made")


async def test_the_second_request_is_a_hit_and_asks_nobody(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    first, second, third = [await kit.get("/api/x?a=1") for _ in range(3)]
    assert [told(a) for a in (first, second, third)] == [(200, "MISS"), (200, "HIT"), (200, "HIT")]
    assert first.body == second.body == third.body == b'{"ok":true}'
    assert first.header("cache-status") == "tidegate; fwd=uri-miss; stored"
    assert str(second.header("cache-status")).startswith("tidegate; hit; ttl=")
    assert second.header("age") == "0"
    assert second.header("content-type") == "application/json"
    assert len(kit.upstream.requests) == 1


async def test_path_query_and_host_tell_answers_apart(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    targets = ("/api/x", "/api/x?", "/api/x?a", "/api/y")
    assert {cache for _, cache in await answers(kit, *targets)} == {"MISS"}
    assert told(await kit.get("/api/x", host="other.test")) == (200, "MISS")
    assert {cache for _, cache in await answers(kit, *targets)} == {"HIT"}


async def test_a_hit_is_charged_and_a_refused_request_gets_nothing_from_the_cache(tidegate_kit):
    kit = await tidegate_kit(route=CACHED, plan=LIMITS)
    got = [await kit.get("/api/x") for _ in range(6)]
    assert [answer.status for answer in got] == [200] * 5 + [429]
    assert [answer.header("x-ratelimit-remaining") for answer in got] == list("432100")
    assert got[5].header("x-cache") is None
    assert len(kit.upstream.requests) == 1


async def test_head_is_answered_from_a_stored_get(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    await kit.get("/api/x")
    for _ in range(2):
        answer = await kit.request("HEAD", "/api/x")
        assert told(answer) == (200, "HIT")
        assert answer.body == b""
    assert told(await kit.request("HEAD", "/api/never")) == (200, "MISS")
    assert told(await kit.get("/api/never")) == (200, "MISS")
    assert [request.method for request in kit.upstream.requests] == ["GET", "HEAD", "GET"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PURGE"])
async def test_an_unsafe_method_makes_what_it_changes_invalid(tidegate_kit, method):
    kit = await tidegate_kit(route=CACHED)
    await answers(kit, "/api/x", "/api/x", "/api/y", "/api/z")
    kit.upstream.script = [(201, {"location": "/api/y"}, b"")]
    assert told(await kit.request(method, "/api/x")) == (201, "BYPASS")
    assert await answers(kit, "/api/x", "/api/y") == [(201, "MISS"), (201, "MISS")]
    assert await answers(kit, "/api/z") == [(200, "HIT")]


async def test_a_refusal_changes_nothing_but_an_answer_that_never_came_may_have(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    await kit.get("/api/x")
    kit.upstream.script = [(403, {}, b"")]
    assert (await kit.post("/api/x")).status == 403
    assert await answers(kit, "/api/x") == [(200, "HIT")]
    kit.upstream.script = [[Act.RESET]]
    assert (await kit.post("/api/x")).status == 502
    kit.upstream.script = [(200, {}, b"")]
    assert await answers(kit, "/api/x") == [(200, "MISS")]


@pytest.mark.parametrize(
    "fields",
    [
        {"cache-control": "no-store"},
        {"cache-control": "private"},
        {"set-cookie": "a=b"},
        {"vary": "*"},
    ],
)
async def test_what_may_not_be_stored_is_not(tidegate_kit, fields, tidegate_store: Store):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, fields, b"hello")]
    assert await answers(kit, "/api/x", "/api/x") == [(200, "MISS")] * 2
    assert await tidegate_store.execute("KEYS", ENTRY_PREFIX + b"*") == []
    assert "stored" not in str((await kit.get("/api/x")).header("cache-status"))


async def test_each_variant_is_found_by_its_own_requests(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)

    def by_language(request):
        return 200, {"vary": "Accept-Language"}, request.get_all(b"accept-language")[0]

    kit.upstream.script = [by_language]
    for expected in ("MISS", "HIT", "HIT"):
        for language in ("de", "en"):
            answer = await kit.get("/api/x", headers={"accept-language": language})
            assert (answer.body, answer.header("x-cache")) == (language.encode(), expected)


async def test_a_store_that_is_down_is_a_miss_and_never_an_error(kit_with):
    kit = await kit_with(cache={"url": "redis://127.0.0.1:1/0"})
    for _ in range(2):
        answer = await kit.get("/api/x")
        assert told(answer) == (200, "MISS")
        assert "the store did not answer" in str(answer.header("cache-status"))


async def test_only_if_cached_is_a_504_where_nothing_is_stored(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    answer = await kit.get("/api/x", headers={"Cache-Control": "only-if-cached"})
    assert (answer.status, json.loads(answer.body)["type"].rpartition(":")[2]) == (
        504,
        "not-stored",
    )
    assert answer.header("cache-status") == 'tidegate; detail="only-if-cached"'
    assert answer.header("x-cache") == "MISS"
    await kit.get("/api/x")
    answer = await kit.get("/api/x", headers={"Cache-Control": "only-if-cached"})
    assert told(answer) == (200, "HIT")


async def test_what_a_trusted_proxy_says_of_the_request_is_part_of_the_key(kit_with):
    kit = await kit_with(listen={"trusted_proxies": ["127.0.0.1"]})
    for expected in ("MISS", "HIT"):
        for proto in ("http", "https"):
            answer = await kit.get("/api/x", headers={"X-Forwarded-Proto": proto})
            assert answer.header("x-cache") == expected
    # The address alone makes no other answer.
    answer = await kit.get(
        "/api/x", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    )
    assert answer.header("x-cache") == "HIT"


async def test_a_users_policy_before_forward_stands_outside_the_cache(tidegate_kit, tmp_path):
    (tmp_path / "own.py").write_text(
        "from tidegate.http import Response\n"
        "def build():\n"
        "    async def own(request, call_next):\n"
        "        if request.headers.get(b'x-evil'):\n"
        "            return Response(403)\n"
        "        return await call_next(request)\n"
        "    return own\n"
    )
    kit = await tidegate_kit(route=CACHED, policies=[{"use": "own.py"}], directory=tmp_path)
    names = [name for name, _ in kit.gateway.snapshot.routes[0].policies]
    assert names == ["request_identity", "authenticate", "limit", "own.py", "cache", "forward"]
    assert await answers(kit, "/api/x", "/api/x") == [(200, "MISS"), (200, "HIT")]
    assert (await kit.get("/api/x", headers={"x-evil": "1"})).status == 403


async def test_a_stripped_prefix_is_not_part_of_what_is_asked(tidegate_kit):
    kit = await tidegate_kit(route={**CACHED, "strip_prefix": True})
    assert await answers(kit, "/api/x", "/api/x") == [(200, "MISS"), (200, "HIT")]
    assert kit.upstream.requests[0].target == b"/x"


async def test_a_copy_in_memory_answers_without_the_store(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    cache = cache_of(kit)
    await hold(kit)
    await cache.connection.aclose()
    answer = await kit.get("/api/x")
    assert (told(answer), answer.body) == ((200, "HIT"), b'{"ok":true}')
    assert told(await kit.request("HEAD", "/api/x")) == (200, "HIT")


async def test_a_hit_from_memory_waits_for_nothing(tidegate_kit):
    kit = await tidegate_kit(route=CACHED, plan={})

    def asked() -> Request:
        headers = Headers([(b"x-api-key", b"premium_user")])
        return Request("GET", b"/api/x", headers, host=b"gateway.test")

    await hold(kit)
    answer = kit.gateway.handle(request := asked())
    assert isinstance(answer, Response)
    assert (answer.headers.get(b"x-cache"), answer.body) == (b"HIT", b'{"ok":true}')
    assert request.context.pending_cache is None
    assert (request.context.source, request.context.cache_status) == ("cache", "hit")


async def test_tenants_share_what_is_explicitly_public_and_nothing_else(kit_with):
    kit = await kit_with()
    kit.upstream.script = [lambda request: (200, {}, request.get_all(b"x-tidegate-tenant")[0])]
    for key, tenant in (("premium_user", b"acme"), ("other_user", b"other")):
        for expected in ("MISS", "HIT"):
            answer = await kit.get("/api/own", key=key)
            assert (answer.body, answer.header("x-cache")) == (tenant, expected)
    kit.upstream.script = [(200, {"cache-control": "public, max-age=60"}, b"all")]
    assert await answers(kit, "/api/all") == [(200, "MISS")]
    assert await answers(kit, "/api/all", key="other_user") == [(200, "HIT")]
