"""Turns of one address against a list: who runs, who waits, in which order, whoever goes away."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policies import auth_turns
from tidegate.policies.auth_turns import HAS_PLACE, Turns

WAIT_S = 7


class Visitors:
    """Everybody who came, by number, and `left` failures; checks each move against plain lists."""

    def __init__(self, left: int) -> None:
        self.turns, self.left = Turns(), left
        self.running: list[int] = []
        self.waiting: dict[int, asyncio.Future[int]] = {}
        self.refused: list[int] = []
        self.came = 0

    def come(self, _: int) -> None:
        number, self.came = self.came, self.came + 1
        if self.left == 0:
            return  # is told so before it asks for a turn
        may_run = not self.waiting and len(self.running) < self.left
        assert self.turns.take(self.left) is may_run
        if may_run:
            self.running.append(number)
        else:
            self.waiting[number] = self.turns.queue()

    def succeed(self, which: int) -> None:
        if self.running:
            self.running.pop(which % len(self.running))
            self.end()

    def fail(self, which: int) -> None:
        if self.running:
            self.left = max(0, self.left - 1)
            self.succeed(which)

    def learn(self, left: int) -> None:
        """Of failures elsewhere, or of time that has passed: counts with the next end."""
        self.left = left % 4

    def go_away(self, which: int) -> None:
        """Cancelled, and run at once."""
        if self.waiting:
            number = sorted(self.waiting)[which % len(self.waiting)]
            waiter = self.waiting.pop(number)
            waiter.cancel()
            assert self.turns.abandon(waiter) is False

    def go_away_as_the_turn_comes(self, which: int) -> None:
        """Cancelled, but another look-up ends before it runs; or given a place just before."""
        if self.waiting and self.running:
            number = sorted(self.waiting)[which % len(self.waiting)]
            waiter = self.waiting[number]
            if which % 2:
                del self.waiting[number]
                waiter.cancel()
                self.succeed(which)
                assert self.turns.abandon(waiter) is False
            else:
                self.succeed(which)
                had_place = number in self.running
                self.waiting.pop(number, None)
                assert self.turns.abandon(waiter) is had_place
                if had_place:
                    self.running.remove(number)
                    self.end()

    def end(self) -> None:
        ahead = sorted(self.waiting)
        if self.turns.end():
            self.turns.pass_on(self.left, WAIT_S)
        free = max(0, self.left - len(self.running))
        admitted, rest = ahead[:free], ahead[free:]
        for number in admitted:
            assert self.waiting.pop(number).result() == HAS_PLACE
        if self.left == 0:
            for number in rest:
                assert self.waiting.pop(number).result() == WAIT_S
        self.running += admitted
        assert not any(waiter.done() for waiter in self.waiting.values())


MOVES: list[Any] = [
    Visitors.come,
    Visitors.come,
    Visitors.come,
    Visitors.succeed,
    Visitors.fail,
    Visitors.learn,
    Visitors.go_away,
    Visitors.go_away_as_the_turn_comes,
]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 20)), min_size=20, max_size=80),
)
def test_places_go_to_who_came_first_and_are_never_more_than_failures_left(left, moves):
    async def play() -> None:
        visitors = Visitors(left)
        for move, which in moves:
            move(visitors, which)
            # Who waits is woken by an end; so somebody runs, or nobody waits.
            assert visitors.running or not visitors.waiting
            assert visitors.turns.is_idle is not bool(visitors.running)
        while visitors.running:
            visitors.succeed(0)
        assert not visitors.waiting
        assert visitors.turns.is_idle

    asyncio.run(play())


async def test_no_more_wait_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_turns, "WAITING_MAX", 2)
    turns = Turns()
    assert turns.take(1)
    first, second = turns.queue(), turns.queue()
    assert turns.is_full
    first.cancel()
    turns.abandon(first)
    assert not turns.is_full
    assert turns.end()
    turns.pass_on(1, WAIT_S)
    assert second.result() == HAS_PLACE
