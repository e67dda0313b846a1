"""Which requests are watched for a client that goes away, and which end before it is worth it."""

import asyncio

import pytest

from tidegate.edge import asgi_watch
from tidegate.edge.asgi_watch import Watch


class Counted:
    watched = 0

    def start_watching(self):
        self.watched += 1


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(asgi_watch, "TICK_S", 0.005)


async def test_a_request_that_lasts_is_watched_once(eventually):
    watch, lasting = Watch(), Counted()
    assert watch.begin(lasting) is asyncio.current_task()
    await eventually(lambda: lasting.watched == 1)
    await eventually(lambda: watch._timer is None)
    watch.end(lasting)
    assert lasting.watched == 1


async def test_a_request_that_begins_after_a_rest_is_watched(eventually):
    watch = Watch()
    for _ in range(2):
        lasting = Counted()
        watch.begin(lasting)
        await eventually(lambda lasting=lasting: lasting.watched == 1)
        await eventually(lambda: watch._timer is None)


@pytest.mark.parametrize("ticks", [0, 1])
async def test_a_request_that_has_ended_is_not_watched(monkeypatch, ticks):
    monkeypatch.setattr(asgi_watch, "TICK_S", 60)
    watch, ended, lasting = Watch(), Counted(), Counted()
    watch.begin(ended)
    watch.begin(lasting)
    for _ in range(ticks):
        watch.tick()
    watch.end(ended)
    while watch._timer is not None:
        watch.tick()
    assert (ended.watched, lasting.watched) == (0, 1)


async def test_no_request_is_watched_before_a_whole_tick_has_passed(monkeypatch):
    monkeypatch.setattr(asgi_watch, "TICK_S", 60)
    watch, first, second = Watch(), Counted(), Counted()
    watch.begin(first)
    watch.tick()
    watch.begin(second)
    watch.tick()
    assert (first.watched, second.watched) == (1, 0)
    watch.tick()
    assert (first.watched, second.watched) == (1, 1)


def test_it_follows_its_door_to_another_loop():
    watch = Watch()

    async def lasts() -> int:
        lasting = Counted()
        assert watch.begin(lasting) is asyncio.current_task()
        async with asyncio.timeout(5):
            while not lasting.watched:  # noqa: ASYNC110 it sets no event
                await asyncio.sleep(0.001)
        return lasting.watched

    async def ends_at_once() -> None:
        watch.begin(Counted())

    asyncio.run(ends_at_once())
    assert asyncio.run(lasts()) == 1
