"""The cache policy in a whole gateway: what is answered from where, and what is forgotten."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tidegate.cache import Cache
from tidegate.cache.bodies import PIECE_BYTES
from tidegate.cache.places import BODY_PREFIX, ENTRY_PREFIX
from tidegate.config import Config
from tidegate.http import Headers, Outcome, Request, Response
from tidegate.store import Store
from tidegate.testing import Answer, Kit, ScriptedUpstream
from tidegate.testing.scripted_upstream import Act

LIMITS = [{"name": "steady", "rate": "1/h", "burst": 5}]
CACHED = {"cache": {"default_ttl": 60}}
LARGE = bytes(range(256)) * 4096
"""1 MiB: read and written in four pieces."""


def cache_of(kit: Kit) -> Cache:
    cache = kit.gateway.parts.cache
    assert cache is not None
    return cache


def told(answer: Any) -> tuple[int, str | None]:
    return answer.status, answer.header("x-cache")


@pytest.fixture
async def kit_with(tidegate_kit: Any) -> AsyncIterator[Callable[..., Awaitable[Kit]]]:
    """`kit_with(**sections)`: a kit whose configuration has these sections besides the usual."""
    async with ScriptedUpstream() as upstream:

        async def opened(**sections: Any) -> Kit:
            route = {"name": "test", "paths": ["/api"], **CACHED}
            service = {"name": "test", "targets": [upstream.url], "routes": [route]}
            tenants = [
                {"name": name, "plan": "all", "keys": [{"name": "key", "value": key}]}
                for name, key in (("acme", "premium_user"), ("other", "other_user"))
            ]
            usual = {"version": 1, "plans": {"all": {}}, "tenants": tenants, "services": [service]}
            kit: Kit = await tidegate_kit(config=Config.model_validate({**usual, **sections}))
            kit.upstream = upstream
            return kit

        yield opened


async def answers(kit: Kit, *targets: str, **options: Any) -> list[tuple[int, str | None]]:
    return [told(await kit.get(target, **options)) for target in targets]


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


async def test_a_fresh_entry_answers_the_clients_own_conditions(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {"etag": '"a"', "content-type": "text/plain"}, b"hello")]
    await kit.get("/api/x")
    answer = await kit.get("/api/x", headers={"If-None-Match": 'W/"a"'})
    assert (told(answer), answer.body) == ((304, "HIT"), b"")
    assert (answer.header("etag"), answer.header("content-type")) == ('"a"', None)
    assert (await kit.get("/api/x", headers={"If-None-Match": '"b"'})).body == b"hello"
    assert len(kit.upstream.requests) == 1


async def test_a_client_that_has_the_answer_fills_the_cache_all_the_same(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)

    def service(request):
        if request.get_all(b"if-none-match") == [b'"a"']:
            return 304, {"etag": '"a"'}, b""
        return 200, {"etag": '"a"', "content-type": "text/plain"}, b"hello"

    kit.upstream.script = [service]
    answer = await kit.get("/api/x", headers={"If-None-Match": '"a"'})
    assert (told(answer), answer.body) == ((304, "MISS"), b"")
    assert answer.header("cache-status") == "tidegate; fwd=uri-miss; fwd-status=200; stored"
    assert (answer.header("etag"), answer.header("content-type")) == ('"a"', None)
    answer = await kit.get("/api/x")
    assert (told(answer), answer.body) == ((200, "HIT"), b"hello")
    assert len(kit.upstream.requests) == 1
    answer = await kit.get("/api/y", headers={"If-None-Match": '"b"'})
    assert (told(answer), answer.body) == ((200, "MISS"), b"hello")


async def test_a_client_that_has_a_large_answer_is_sent_it_while_it_is_stored(tidegate_kit):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {"etag": '"a"'}, LARGE)]
    answer = await kit.get("/api/x", headers={"If-None-Match": '"a"'})
    assert (told(answer), answer.body) == ((200, "MISS"), LARGE)
    assert told(await kit.get("/api/x", headers={"If-None-Match": '"a"'})) == (304, "HIT")


@pytest.mark.parametrize("body", [b"hello", LARGE], ids=["small", "large"])
async def test_what_is_not_kept_is_not_sent_to_a_client_that_has_it(tidegate_kit, body: bytes):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {"etag": '"a"', "cache-control": "private"}, body)]
    answer = await kit.get("/api/x", headers={"If-None-Match": '"a"'})
    assert (told(answer), answer.body) == ((304, "MISS"), b"")
    assert "private" in str(answer.header("cache-status"))
    # It is known by now that nobody else can use it: the service judges for itself.
    await kit.get("/api/x", headers={"If-None-Match": '"a"'})
    seen = [request.get_all(b"if-none-match") for request in kit.upstream.requests]
    assert seen == [[], [b'"a"']]


async def test_a_changed_entry_answers_the_clients_own_condition(tidegate_kit):
    kit = await tidegate_kit(route={"cache": {}})
    kit.upstream.script = [
        (200, {"etag": '"a"', "cache-control": "max-age=0"}, b"old"),
        (200, {"etag": '"b"', "cache-control": "max-age=60"}, b"new"),
    ]
    await kit.get("/api/x")
    answer = await kit.get("/api/x", headers={"If-None-Match": '"b"'})
    assert (told(answer), answer.body) == ((304, "MISS"), b"")
    assert (await kit.get("/api/x")).body == b"new"


async def test_a_stale_entry_is_validated_and_the_304_refreshes_it(tidegate_kit):
    kit = await tidegate_kit(route={"cache": {}})
    kit.upstream.script = [
        (200, {"etag": '"a"', "cache-control": "max-age=0", "x-version": "1"}, b"hello"),
        (304, {"etag": '"a"', "cache-control": "max-age=60", "x-version": "2"}, b""),
    ]
    assert told(await kit.get("/api/x")) == (200, "MISS")
    answer = await kit.get("/api/x", headers={"If-None-Match": '"other"'})
    assert (told(answer), answer.body) == ((200, "REVALIDATED"), b"hello")
    assert answer.header("cache-status") == "tidegate; fwd=stale; fwd-status=304; stored"
    assert kit.upstream.requests[1].get_all(b"if-none-match") == [b'"a"']
    answer = await kit.get("/api/x")
    assert (told(answer), answer.body, answer.header("x-version")) == ((200, "HIT"), b"hello", "2")
    assert told(await kit.get("/api/x", headers={"If-None-Match": '"a"'})) == (304, "HIT")
    assert len(kit.upstream.requests) == 2


async def test_a_large_stale_entry_is_validated_without_being_sent_again(tidegate_kit):
    kit = await tidegate_kit(route={"cache": {}})
    kit.upstream.script = [
        (200, {"etag": '"a"', "cache-control": "max-age=0"}, LARGE),
        (304, {"etag": '"a"', "cache-control": "max-age=60"}, b""),
    ]
    got = [await kit.get("/api/x") for _ in range(3)]
    assert [told(answer)[1] for answer in got] == ["MISS", "REVALIDATED", "HIT"]
    assert all(answer.body == LARGE for answer in got)


async def test_an_entry_that_changed_is_replaced(tidegate_kit):
    kit = await tidegate_kit(route={"cache": {}})
    kit.upstream.script = [
        (200, {"etag": '"a"', "cache-control": "max-age=0"}, b"old"),
        (200, {"etag": '"b"', "cache-control": "max-age=60"}, b"new"),
    ]
    assert [(await kit.get("/api/x")).body for _ in range(3)] == [b"old", b"new", b"new"]
    assert len(kit.upstream.requests) == 2


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


async def test_a_large_body_streams_in_pieces_both_ways(tidegate_kit, tidegate_store: Store):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {}, LARGE)]
    assert (await kit.get("/api/x")).body == LARGE
    request = Request(
        "GET", b"/api/x", Headers([(b"x-api-key", b"premium_user")]), host=b"gateway.test"
    )
    response = await kit.gateway.handle(request)
    assert response.headers.get(b"x-cache") == b"HIT"
    assert not isinstance(response.body, bytes)
    assert response.content_length == len(LARGE)
    pieces = [piece async for piece in response.body]
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert b"".join(pieces) == LARGE
    assert len(kit.upstream.requests) == 1


async def test_a_body_over_the_bound_is_given_up_and_still_sent_whole(
    kit_with, tidegate_store: Store
):
    kit = await kit_with(cache={"entry_bytes": "512KiB"})
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    kit.upstream.script = [(200, {}, LARGE), chunked % (len(LARGE), LARGE)]
    for _ in range(2):
        assert (await kit.get("/api/x")).body == LARGE
    assert await tidegate_store.execute("KEYS", ENTRY_PREFIX + b"*") == []
    assert await tidegate_store.execute("KEYS", BODY_PREFIX + b"*") == []


@pytest.mark.parametrize("length", ["announced", "chunked", "close"])
async def test_a_body_that_is_cut_never_becomes_an_entry(
    tidegate_kit, tidegate_store: Store, length: str
):
    kit = await tidegate_kit(route=CACHED)
    head = {
        "announced": b"content-length: %d" % (2 * len(LARGE)),
        "chunked": b"transfer-encoding: chunked",
        "close": b"connection: close",
    }[length]
    chunk = b"%x\r\n%b\r\n" % (len(LARGE), LARGE)
    body = chunk if length == "chunked" else LARGE
    kit.upstream.script = [[b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % head, body, Act.CLOSE]]
    if length == "close":
        # It may be whole or not: nobody can tell, so it is passed on and not stored.
        answer = await kit.get("/api/x")
        assert "ends with its connection" in str(answer.header("cache-status"))
    else:
        with pytest.raises(Exception, match="incomplete"):
            await kit.get("/api/x")
    cache = cache_of(kit)
    assert await tidegate_store.execute("KEYS", ENTRY_PREFIX + b"*") == []
    assert await cache.connection.execute("KEYS", BODY_PREFIX + b"*") == []
    assert cache.unfinished.bytes == 0


async def test_a_client_that_goes_away_leaves_nothing_behind(tidegate_kit, tidegate_store: Store):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {}, LARGE * 4)]
    request = Request(
        "GET", b"/api/x", Headers([(b"x-api-key", b"premium_user")]), host=b"gateway.test"
    )
    response = await kit.gateway.handle(request)
    assert not isinstance(response.body, bytes)
    seen = 0
    async for piece in response.body:
        seen += len(piece)
        if seen > len(LARGE):
            break
    await response.body.aclose()  # type: ignore[attr-defined]
    await response.aclose(Outcome.ABORTED)
    cache = cache_of(kit)
    assert await cache.connection.execute("KEYS", BODY_PREFIX + b"*") == []
    assert await tidegate_store.execute("KEYS", ENTRY_PREFIX + b"*") == []
    assert (cache.unfinished.bytes, len(cache.flights)) == (0, 0)


async def test_while_a_body_is_sent_nothing_holds_what_the_store_replied(
    tidegate_kit, tidegate_store: Store, monkeypatch
):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {}, LARGE)]
    storage = cache_of(kit).storage
    look_up, replies = storage.look_up, []

    def noted(place: Any, headers: Headers) -> Any:
        made = look_up(place, headers)
        replies.extend(map(weakref.ref, made.replies))
        return made

    monkeypatch.setattr(storage, "look_up", noted)
    for expected in (b"MISS", b"HIT"):
        headers = Headers([(b"x-api-key", b"premium_user")])
        request = Request("GET", b"/api/x", headers, host=b"gateway.test")
        response = await kit.gateway.handle(request)
        assert response.headers.get(b"x-cache") == expected
        assert request.context.pending_cache is None
        gc.collect()
        assert len(replies) == 3
        assert [reply() for reply in replies] == [None] * 3
        replies.clear()
        assert (await Answer.of(response)).body == LARGE


async def test_a_body_that_vanished_is_a_miss(tidegate_kit, tidegate_store: Store):
    kit = await tidegate_kit(route=CACHED)
    kit.upstream.script = [(200, {}, LARGE)]
    await kit.get("/api/x")
    (body,) = await tidegate_store.execute("KEYS", BODY_PREFIX + b"*")
    await tidegate_store.execute("DEL", body)
    answer = await kit.get("/api/x")
    assert (told(answer), answer.body == LARGE) == ((200, "MISS"), True)


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
