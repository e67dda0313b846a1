"""Large bodies in a whole gateway: stored while they are sent, whole or not at all."""

import gc
import weakref
from typing import Any

import pytest

from tests.policies.cached_kit import CACHED, LARGE, cache_of, told
from tidegate.cache.bodies import PIECE_BYTES
from tidegate.cache.places import BODY_PREFIX, ENTRY_PREFIX
from tidegate.http import Headers, Outcome, Request
from tidegate.store import Store
from tidegate.testing import Answer
from tidegate.testing.scripted_upstream import Act


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
