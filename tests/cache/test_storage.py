"""Entries in a real store: visible in one step, bounded, expiring, forgotten by one write."""

import asyncio
from collections.abc import Callable

import pytest

from tidegate.cache import Cache
from tidegate.cache.places import BODY_PREFIX, BYTES, HELD, LAST_USE, PREFIX, Place
from tidegate.cache.storage import OVERHEAD_BYTES, VARIANTS_MAX, Found
from tidegate.cache.stored import Stored
from tidegate.cache.vary import selecting_values
from tidegate.http import Headers
from tidegate.store import Store, StoreRefused, StoreUnavailable

MakePlace = Callable[..., Place]
MakeEntry = Callable[..., Stored]
NOTHING = Headers()


async def found(cache: Cache, place: Place, headers: Headers = NOTHING) -> Found:
    return await cache.storage.found(cache.storage.look_up(place, headers), headers)


async def bodies(cache: Cache, place: Place, headers: Headers = NOTHING) -> list[bytes]:
    return [stored.body for _, stored in (await found(cache, place, headers)).entries]


async def test_what_one_worker_stores_another_finds(opened_cache, place, entry) -> None:
    one, two = await opened_cache(), await opened_cache()
    assert await one.storage.commit(place().own, place(), entry(), 60) == b"stored"
    assert await bodies(two, place()) == [b"hello"]
    for other in (place(b"/y"), place(tenant="other"), place(tenant=None), place(claims=b"x")):
        assert await bodies(two, other) == []


async def test_only_the_public_space_is_common_to_tenants(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    public = entry(generation=b"-,-", body=b"share")
    assert await cache.storage.commit(place().public, place(), public, 60) == b"stored"
    await cache.storage.commit(place().own, place(), entry(), 60)
    assert await bodies(cache, place()) == [b"hello", b"share"]
    assert await bodies(cache, place(tenant="other")) == [b"share"]
    assert await bodies(cache, place(tenant=None)) == [b"share"]


@pytest.mark.parametrize("what", ["url", "tenant", "all"])
async def test_a_purge_forgets_what_it_names_and_nothing_else(
    opened_cache, place, entry, what: str
) -> None:
    cache = await opened_cache()
    places = {
        "here": place(),
        "there": place(b"/y"),
        "theirs": place(tenant="other"),
        "anonymous": place(tenant=None),
    }
    for each in places.values():
        generation = b"-,-" if each is places["anonymous"] else b"-,-,-"
        await cache.storage.commit(each.own, each, entry(generation=generation), 60)
    match what:
        case "url":
            await cache.storage.purge_urls([place().url])
            left = {"there"}
        case "tenant":
            await cache.storage.purge_tenant("acme")
            left = {"theirs", "anonymous"}
        case _:
            await cache.storage.purge_all()
            left = set()
    assert {name for name, each in places.items() if await bodies(cache, each)} == left


async def test_what_was_fetched_before_an_invalidation_is_not_stored_after_it(
    opened_cache, place, entry
) -> None:
    one, two = await opened_cache(), await opened_cache()
    generations = (await found(one, place())).generations
    for reply in two.storage.invalidate([place().url]):
        await reply
    late = entry(generation=generations.own)
    assert await one.storage.commit(place().own, place(), late, 60) == b"overtaken"
    assert await bodies(two, place()) == []
    now = entry(generation=(await found(one, place())).generations.own)
    assert await one.storage.commit(place().own, place(), now, 60) == b"stored"
    assert await bodies(two, place()) == [b"hello"]


async def test_each_variant_answers_its_own_requests(opened_cache, place, entry) -> None:
    cache = await opened_cache()
    requests = {lang: Headers([(b"accept-language", lang)]) for lang in (b"de", b"en", b"fr")}
    for lang, headers in requests.items():
        selecting = selecting_values((b"accept-language",), headers)
        variant = entry(vary=(b"accept-language",), selecting=selecting, body=b"in-" + lang)
        assert await cache.storage.commit(place().own, place(), variant, 60) == b"stored"
    for lang, headers in requests.items():
        assert await bodies(cache, place(), headers) == [b"in-" + lang]
        assert await bodies(await opened_cache(), place(), headers) == [b"in-" + lang]
    missed = await found(cache, place(), Headers([(b"accept-language", b"it")]))
    assert (missed.entries, missed.has_variants) == ([], True)


async def test_variants_are_bounded_and_the_first_stored_goes(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    for number in range(VARIANTS_MAX + 3):
        variant = entry(vary=(b"a",), selecting=b"%03d" % number)
        await cache.storage.commit(place().own, place(), variant, 60)
    assert await valkey.execute("HLEN", place().own) == VARIANTS_MAX + 1
    assert await valkey.execute("HLEN", HELD) == VARIANTS_MAX


async def test_another_vary_drops_the_variants_that_nobody_could_find(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    await cache.storage.commit(place().own, place(), entry(vary=(b"a",), selecting=b"1"), 60)
    await cache.storage.commit(place().own, place(), entry(), 60)
    assert await valkey.execute("HLEN", HELD) == 1
    assert await bodies(cache, place()) == [b"hello"]


async def test_the_bytes_never_exceed_the_bound_and_the_least_used_goes(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache(bytes=2**20)
    body = bytes(60_000)
    for number in range(40):
        target = b"/%d" % number
        stored = entry(body=body, body_length=len(body))
        await cache.storage.commit(place(target).own, place(target), stored, 60)
        assert int(await valkey.execute("GET", BYTES)) <= 2**20
        if number >= 10:
            # Entry 5 is used again and again, so it outlives all others of its time.
            cache.storage.touch(place(b"/5").own, stored)
    assert await bodies(cache, place(b"/5")) == [body]
    assert await bodies(cache, place(b"/6")) == []
    assert await bodies(cache, place(b"/39")) == [body]
    held = await valkey.execute("HVALS", HELD)
    assert sum(int(record.split(b":")[0]) for record in held) == int(
        await valkey.execute("GET", BYTES)
    )


async def test_an_entry_larger_than_the_bound_evicts_nothing(opened_cache, place, entry) -> None:
    cache = await opened_cache(bytes=2**20)
    await cache.storage.commit(place().own, place(), entry(), 60)
    large = entry(body=bytes(2**20), body_length=2**20)
    assert await cache.storage.commit(place(b"/l").own, place(b"/l"), large, 60) == b"too large"
    assert await bodies(cache, place()) == [b"hello"]


async def test_everything_expires_and_what_expired_leaves_the_accounts(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    await cache.storage.write(b"half", 0, b"written")
    await cache.storage.commit(place().own, place(), entry(), 1)
    await cache.storage.purge_all()
    for key in await valkey.execute("KEYS", PREFIX + b"*"):
        assert await valkey.execute("TTL", key) > 0, key
    for _ in range(200):
        if not await valkey.execute("EXISTS", place().own):
            break
        await asyncio.sleep(0.02)
    generation = (await found(cache, place())).generations.own
    other = entry(generation=generation)
    await cache.storage.commit(place(b"/y").own, place(b"/y"), entry(generation=generation), 60)
    assert await valkey.execute("HLEN", HELD) == 1
    assert int(await valkey.execute("GET", BYTES)) == len(other.packed()) + OVERHEAD_BYTES


async def test_replacing_an_entry_counts_it_once(opened_cache, place, entry, valkey: Store) -> None:
    cache = await opened_cache()
    for _ in range(5):
        await cache.storage.commit(place().own, place(), entry(), 60)
        await valkey.execute("DEL", place().own)  # as if it had expired by itself
    assert int(await valkey.execute("GET", BYTES)) == len(entry().packed()) + OVERHEAD_BYTES


async def test_a_body_that_is_not_whole_never_becomes_an_entry(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    await cache.storage.write(b"id", 0, b"12345")
    stored = entry(body=b"", body_id=b"id", body_length=10)
    assert await cache.storage.commit(place().own, place(), stored, 60) == b"incomplete"
    assert await bodies(cache, place()) == []
    assert not await valkey.execute("EXISTS", BODY_PREFIX + b"id")


async def test_a_piece_that_leaves_a_gap_is_refused(opened_cache) -> None:
    cache = await opened_cache()
    assert await cache.storage.write(b"id", 0, b"12345") == 5
    assert await cache.storage.write(b"id", 6, b"6") == -1
    assert await cache.storage.write(b"id", 5, b"6") == 6


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_replaced_body_is_deleted_unless_somebody_reads_it(
    opened_cache, place, entry, valkey: Store, is_read: bool
) -> None:
    cache = await opened_cache()
    await cache.storage.write(b"old", 0, b"12345")
    old = entry(body=b"", body_id=b"old", body_length=5)
    await cache.storage.commit(place().own, place(), old, 60)
    if is_read:
        assert await cache.storage.read(b"old", 0, 2) == b"12"
    await cache.storage.commit(place().own, place(), entry(), 60)
    assert await valkey.execute("EXISTS", BODY_PREFIX + b"old") == is_read
    if is_read:
        assert await cache.storage.read(b"old", 2, 3) == b"345"
        assert 0 < await valkey.execute("TTL", BODY_PREFIX + b"old") <= 60


async def test_a_refreshed_entry_keeps_its_body(opened_cache, place, entry, valkey: Store) -> None:
    cache = await opened_cache()
    await cache.storage.write(b"id", 0, b"12345")
    stored = entry(body=b"", body_id=b"id", body_length=5)
    for _ in range(2):
        assert await cache.storage.commit(place().own, place(), stored, 60) == b"stored"
    assert await cache.storage.read(b"id", 0, 10) == b"12345"


async def test_a_store_that_is_down_finds_nothing_and_allows_nothing(opened_cache, place) -> None:
    cache = await opened_cache(url="redis://127.0.0.1:1/0")
    nothing = await found(cache, place())
    assert (nothing.entries, nothing.generations) == ([], None)


async def test_a_foreign_value_is_a_miss(opened_cache, place, valkey: Store) -> None:
    cache = await opened_cache()
    await valkey.execute("SET", place().own, "not a hash")
    assert (await found(cache, place())).entries == []
    await valkey.execute("DEL", place().own)
    await valkey.execute("HSET", place().own, "v", "\n=", "=", "not an entry")
    assert (await found(cache, place())).entries == []


async def test_last_use_holds_no_more_than_there_is(
    opened_cache, place, entry, valkey: Store
) -> None:
    cache = await opened_cache()
    cache.storage.touch(place().own, entry())
    await cache.storage.commit(place(b"/y").own, place(b"/y"), entry(), 60)
    assert await valkey.execute("ZCARD", LAST_USE) == 1


async def test_a_store_of_its_own_holds_the_entries_and_tells_of_them(
    opened_cache, place, entry, valkey: Store, redis_server: str, eventually
) -> None:
    one, two = [await opened_cache(url=redis_server) for _ in range(2)]
    await one.connection.execute("FLUSHALL")
    assert await one.storage.commit(place().own, place(), entry(), 60) == b"stored"
    assert await bodies(two, place()) == [b"hello"]
    assert await valkey.execute("KEYS", PREFIX + b"*") == []
    tracking = two.memory._tracking
    await eventually(lambda: tracking.is_live)
    generations = place().generations
    two.memory.put("key", place().own, entry(), generations, two.memory.mark())
    assert len(two.memory) == 1
    await one.storage.purge_all()
    await eventually(lambda: len(two.memory) == 0)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
async def test_a_store_of_its_own_that_evicts_is_refused(
    opened_cache, redis_server: str, policy: str
) -> None:
    first = await opened_cache(url=redis_server)
    await first.connection.execute("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        with pytest.raises(StoreRefused, match=policy):
            await opened_cache(url=redis_server)
    finally:
        await first.connection.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await opened_cache(url=redis_server)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl"])
async def test_nothing_is_cached_while_the_store_of_redis_may_evict(
    opened_cache, place, entry, valkey: Store, eventually, caplog, policy: str
) -> None:
    await valkey.execute("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        cache = await opened_cache()
        await asyncio.sleep(0.2)  # some more attempts
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith("nothing is cached: ")
        assert f"maxmemory-policy {policy}" in said
        assert "Set maxmemory-policy to noeviction" in said
        assert (await found(cache, place())).generations is None
        with pytest.raises(StoreUnavailable):
            await cache.storage.commit(place().own, place(), entry(), 60)
    finally:
        await valkey.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await eventually(lambda: cache.connection.is_up)
    assert await cache.storage.commit(place().own, place(), entry(), 60) == b"stored"
