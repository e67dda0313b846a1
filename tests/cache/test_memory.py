"""Copies are bounded by bytes, verified by the store, and gone with what they rest on."""

import asyncio
import time
import weakref
from collections.abc import Callable

from tidegate.cache import Cache
from tidegate.cache.memory import COPY_OVERHEAD_BYTES, SHARE_MAX
from tidegate.cache.places import Place
from tidegate.cache.vary import selecting_values
from tidegate.http import Headers
from tidegate.store import Store

NOW = 1001.0
NOTHING = Headers()


class Text(str):
    """A text whose end can be seen."""


async def live(cache: Cache) -> None:
    """Wait until the store's tracking vouches for copies."""
    tracking = cache.memory._tracking
    async with asyncio.timeout(10):
        while not tracking.is_live:  # noqa: ASYNC110 no event tells
            await asyncio.sleep(0.01)


def put(cache: Cache, key: object, place: Place, stored: object, mark: object = None) -> None:
    mark = mark or cache.memory.mark()
    cache.memory.put(key, place.own, stored, place.generations, mark)  # type: ignore[arg-type]


async def test_a_copy_answers_its_own_key_while_it_is_fresh(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    await live(cache)
    put(cache, "key", place(), entry())
    held = cache.memory.get("key", NOTHING, NOW)
    assert held is not None
    assert held.stored.body == b"hello"
    assert cache.memory.get("other", NOTHING, NOW) is None
    assert cache.memory.get("key", NOTHING, 1000.5 + 59.5) is None


async def test_variants_are_told_apart(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    await live(cache)
    german, english = Headers([(b"a", b"de")]), Headers([(b"a", b"en")])
    for headers, body in ((german, b"de"), (english, b"en")):
        selecting = selecting_values((b"a",), headers)
        variant = entry(vary=(b"a",), selecting=selecting, body=body, body_length=2)
        put(cache, "key", place(), variant)
    for headers, body in ((german, b"de"), (english, b"en")):
        held = cache.memory.get("key", headers, NOW)
        assert held is not None
        assert held.stored.body == body
    assert cache.memory.get("key", NOTHING, NOW) is None


async def test_what_a_key_varies_by_does_not_hold_what_a_client_wrote(
    opened_cache, place, entry
) -> None:
    cache = await opened_cache(memory_bytes=SHARE_MAX * COPY_OVERHEAD_BYTES)
    await live(cache)
    path = Text("/" + "x" * 8000)
    gone = weakref.ref(path)
    selecting = selecting_values((b"a",), NOTHING)
    put(cache, (b"route", path), place(), entry(vary=(b"a",), selecting=selecting))
    assert len(cache.memory._vary) == 1
    del path
    assert gone() is None


async def test_two_keys_of_one_hash_are_told_apart(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    await live(cache)
    selecting = selecting_values((b"a",), NOTHING)
    assert hash(-1) == hash(-2)
    put(cache, -1, place(), entry(vary=(b"a",), selecting=selecting))
    put(cache, 1, place(), entry())
    assert cache.memory.get(-1, NOTHING, NOW) is not None
    assert cache.memory.get(-2, NOTHING, NOW) is None
    put(cache, -2, place(), entry(body=b"other"))
    held = cache.memory.get(-2, NOTHING, NOW)
    assert held is not None
    assert held.stored.body == b"other"
    held = cache.memory.get(-1, NOTHING, NOW)
    assert held is None or held.stored.body == b"hello"


async def test_what_varies_now_is_not_hidden_by_what_did_not(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    await live(cache)
    german, english = Headers([(b"a", b"de")]), Headers([(b"a", b"en")])
    put(cache, "key", place(), entry())
    assert cache.memory.get("key", english, NOW) is not None
    selecting = selecting_values((b"a",), german)
    put(cache, "key", place(), entry(vary=(b"a",), selecting=selecting, body=b"guten"))
    assert cache.memory.get("key", english, NOW) is None
    held = cache.memory.get("key", german, NOW)
    assert held is not None
    assert held.stored.body == b"guten"


async def test_the_store_is_told_of_a_use_once_in_a_while(
    opened_cache, place, entry, monkeypatch
) -> None:
    cache = await opened_cache()
    await live(cache)
    put(cache, "key", place(), entry())
    held = cache.memory.get("key", NOTHING, NOW)
    assert held is not None
    assert not cache.memory.used(held)
    monkeypatch.setattr("tidegate.cache.memory.TOUCH_S", 0.0)
    assert cache.memory.used(held)


async def test_bytes_are_bounded_and_the_least_used_goes(opened_cache, place, entry) -> None:
    cache = await opened_cache(memory_bytes=10 * (COPY_OVERHEAD_BYTES + 1000))
    await live(cache)
    for number in range(100):
        put(cache, number, place(), entry(body=bytes(900), body_length=900))
        held = sum(copy.bytes for copy in cache.memory._copies.values())
        assert held <= 10 * (COPY_OVERHEAD_BYTES + 1000)
        if (first := cache.memory.get(0, NOTHING, NOW)) is not None:
            cache.memory.used(first)
    assert cache.memory.get(0, NOTHING, NOW) is not None
    assert cache.memory.get(50, NOTHING, NOW) is None
    assert cache.memory.get(99, NOTHING, NOW) is not None


async def test_no_copy_takes_more_than_its_share(opened_cache, place, entry) -> None:
    cache = await opened_cache(memory_bytes=SHARE_MAX * 10_000)
    await live(cache)
    put(cache, "key", place(), entry(body=bytes(9_000), body_length=9_000))
    assert len(cache.memory) == 0
    none = await opened_cache(memory_bytes=0)
    await live(none)
    put(none, "key", place(), entry())
    assert len(none.memory) == 0


async def gone(cache: Cache, eventually: Callable[..., object]) -> None:
    await eventually(lambda: cache.memory.get("key", NOTHING, NOW) is None)  # type: ignore[misc]


async def test_another_workers_write_drops_the_copy(opened_cache, place, entry, eventually) -> None:
    one, two = await opened_cache(), await opened_cache()
    await live(one)
    put(one, "key", place(), entry())
    assert one.memory.get("key", NOTHING, NOW) is not None
    await two.storage.commit(place().own, place(), entry(), 60)
    await gone(one, eventually)


async def test_a_purge_drops_the_copy(opened_cache, place, entry, eventually) -> None:
    one, two = await opened_cache(), await opened_cache()
    await live(one)
    for purge in (
        lambda: two.storage.purge_urls([place().url]),
        lambda: two.storage.purge_tenant("acme"),
        two.storage.purge_all,
    ):
        put(one, "key", place(), entry())
        assert one.memory.get("key", NOTHING, NOW) is not None
        await purge()
        await gone(one, eventually)
    put(one, "kept", place(), entry())
    put(one, "key", place(b"/other", tenant="other"), entry())
    await two.storage.purge_tenant("other")
    await gone(one, eventually)
    put(one, "key", place(b"/other"), entry())
    await two.storage.purge_urls([place(b"/other").url])
    await gone(one, eventually)
    assert one.memory.get("kept", NOTHING, NOW) is not None


async def test_a_reading_that_was_overtaken_is_not_kept(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    await live(cache)
    mark = cache.memory.mark()
    cache.memory.drop_urls([place().url])
    put(cache, "key", place(), entry(), mark)
    assert len(cache.memory) == 0
    put(cache, "key", place(), entry())
    assert len(cache.memory) == 1


async def test_no_copy_is_used_while_tracking_is_not_live(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    await live(cache)
    put(cache, "key", place(), entry())
    valkey.tracking._distrust()
    assert cache.memory.get("key", NOTHING, NOW) is None
    assert len(cache.memory) == 0
    put(cache, "key", place(), entry())
    assert len(cache.memory) == 0


async def test_no_copy_is_used_when_the_store_has_been_silent_for_too_long(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    await live(cache)
    put(cache, "key", place(), entry())
    valkey.tracking.verified_until = time.monotonic()
    assert cache.memory.get("key", NOTHING, NOW) is None
    assert len(cache.memory) == 1
