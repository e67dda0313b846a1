"""The keeper of leases, on a real store: what runs keeps its place, what ended gives it back."""

import asyncio

import pytest

from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.lease_keeper import LeaseKeeper
from tidegate.rate_limiter.limiter import Limiter
from tidegate.store import Store

SECOND_US = 10**6


def lease(number: int = 1, lasts_s: float = 1, key: bytes = b"tg:limits:{t}:t:c") -> Lease:
    return Lease(b"%014d" % number, ((key, int(lasts_s * SECOND_US)),))


async def ids(store: Store, key: bytes = b"tg:limits:{t}:t:c") -> list[bytes]:
    found: list[bytes] = await store.execute("ZRANGE", key, "0", "-1")
    return found


async def stand(store: Store, count: int) -> None:
    async with asyncio.timeout(5):
        while len(await ids(store)) < count:
            pass


async def ends_in_s(store: Store, held: Lease) -> float:
    seconds, micros = await store.execute("TIME")
    score = await store.execute("ZSCORE", held.places[0][0], held.identity)
    return float(score) / SECOND_US - int(seconds) - int(micros) / SECOND_US


async def test_what_runs_long_is_renewed_until_it_ends(valkey: Store):
    keeper, held = LeaseKeeper(Limiter(valkey)), lease(lasts_s=1)
    Limiter(valkey).renew([held])
    keeper.hold(held)
    for _ in range(4):  # longer than it would last by itself
        await asyncio.sleep(0.4)
        assert await ends_in_s(valkey, held) > 0.2
    keeper.release(held)
    assert await ids(valkey) == []
    assert keeper.count == 0


async def test_a_store_that_lost_its_data_counts_right_again(valkey: Store):
    """Pain point 4: slots that are not counted, or never given back."""
    keeper, held = LeaseKeeper(Limiter(valkey)), [lease(number) for number in range(3)]
    for one in held:
        keeper.hold(one)
    await valkey.execute("FLUSHALL")
    await stand(valkey, 3)
    keeper.close()
    assert await ids(valkey) == []


async def test_a_lease_is_released_once(valkey: Store):
    limiter = Limiter(valkey)
    keeper, held = LeaseKeeper(limiter), lease()
    keeper.hold(held)
    limiter.renew([held])
    keeper.release(held)
    limiter.renew([held])  # somebody else's by now, as far as the keeper knows
    keeper.release(held)
    assert await ids(valkey) == [held.identity]


async def test_one_timer_serves_all_and_none_runs_for_nothing(valkey: Store):
    keeper = LeaseKeeper(Limiter(valkey))
    for number in range(100):
        keeper.hold(lease(number, lasts_s=60))
    timer = keeper._timer
    assert timer is not None
    keeper.hold(lease(100, lasts_s=3))
    assert keeper._timer is not timer  # the shorter one comes first
    assert timer.cancelled()
    for number in range(101):
        keeper.release(lease(number, lasts_s=60))
    keeper._renew_due()
    assert keeper._timer is None


async def test_more_than_can_be_renewed_at_once_are_renewed_in_turns(
    valkey: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tidegate.rate_limiter.lease_keeper.RENEWED_MAX", 10)
    keeper = LeaseKeeper(Limiter(valkey))
    for number in range(35):
        keeper.hold(lease(number))
    await stand(valkey, 35)
    keeper.close()


async def test_what_is_held_here_is_known_without_the_store(valkey: Store):
    keeper = LeaseKeeper(Limiter(valkey))
    held = [lease(1), lease(2), lease(3, key=b"other")]
    for one in held:
        keeper.hold(one)
    assert [keeper.count_in(key) for key in (held[0].places[0][0], b"other", b"none")] == [2, 1, 0]
    for one in held[1:]:
        keeper.release(one)
        keeper.release(one)
    assert [keeper.count_in(key) for key in (held[0].places[0][0], b"other")] == [1, 0]
    keeper.close()
    assert keeper._held_in == {}
