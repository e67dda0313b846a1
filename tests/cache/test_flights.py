"""One asks, the others wait, and nobody waits in vain for long or behind another."""

import asyncio
import weakref

import pytest

from tidegate.cache import flights as module
from tidegate.cache.flights import ALONE_MAX, Flights, Landing


class Text(str):
    """A text whose end can be seen."""


async def test_a_landing_lets_all_waiters_go_with_the_same(entry) -> None:
    flights = Flights()
    flight = flights.begin("key")
    assert flight is not None
    assert flights.begin("key") is None
    assert await flights.brought("other") is None
    waiters = [asyncio.create_task(flights.brought("key")) for _ in range(5)]
    await asyncio.sleep(0)
    stored = entry()
    flight.land(stored)
    flight.land(Landing.FAILED)
    assert await asyncio.gather(*waiters) == [stored] * 5
    assert len(flights) == 0


async def test_of_those_who_wait_for_a_leader_that_hands_on_one_leads(entry) -> None:
    flights = Flights()
    first = flights.begin("key")
    assert first is not None
    stored = entry()

    async def waiter() -> object:
        brought = await flights.brought("key")
        if brought is None:
            flight = flights.begin("key")
            assert flight is not None
            asyncio.get_running_loop().call_later(0.01, flight.land, stored)
        return brought

    waiters = [asyncio.create_task(waiter()) for _ in range(3)]
    await asyncio.sleep(0)
    first.land(Landing.HANDED_ON)
    assert await asyncio.gather(*waiters) == [None, stored, stored]


async def test_a_waiter_stops_waiting_after_its_bound() -> None:
    flight = Flights().begin("key")
    assert flight is not None
    assert await flight.wait(0.01) is Landing.ALONE
    assert not flight.landed.done()


async def test_a_cancelled_waiter_takes_nothing_from_the_others(entry) -> None:
    flight = Flights().begin("key")
    assert flight is not None
    first, second = (asyncio.create_task(flight.wait(5)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    flight.land(entry())
    assert (await second) is flight.landed.result()
    assert first.cancelled() or first.cancelling()
    await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize(
    ("landing", "is_led_again"),
    [(Landing.ALONE, False), (Landing.FAILED, True), (Landing.HANDED_ON, True)],
)
async def test_only_what_may_not_be_shared_is_not_led_again(landing, is_led_again) -> None:
    flights = Flights()
    flight = flights.begin("key")
    assert flight is not None
    flight.land(landing)
    assert (flights.begin("key") is not None) is is_led_again


async def test_what_could_not_be_shared_is_forgotten_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ALONE_S", 0.0)
    flights = Flights()
    flights.note_alone("key")
    assert flights.begin("key") is not None


async def test_what_is_remembered_is_bounded() -> None:
    flights = Flights()
    for number in range(ALONE_MAX + 10):
        flights.note_alone(number)
    assert len(flights._alone_until) <= ALONE_MAX


async def test_what_is_remembered_does_not_hold_what_a_client_wrote() -> None:
    flights = Flights()
    path = Text("/" + "x" * 8000)
    gone = weakref.ref(path)
    flights.note_alone((b"route", path))
    assert flights.begin((b"route", Text(path))) is None
    del path
    assert gone() is None


async def test_a_body_that_takes_long_lets_the_waiters_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_S_MAX", 0.01)
    flight = Flights().begin("key")
    assert flight is not None
    flight.expect_body()
    assert await flight.wait(5) is Landing.ALONE
