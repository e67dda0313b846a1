"""Conditions in a whole gateway: those of the client, and those by which entries are validated."""

import pytest

from tests.policies.cached_kit import CACHED, LARGE, told


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
