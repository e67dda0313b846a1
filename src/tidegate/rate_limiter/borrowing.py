"""Leased precision: a worker borrows tokens in batches, so that a hot key costs no trip a request.

What is borrowed is charged in the store by the one script, all or nothing, before anybody is let
through on it; so of tokens no more are ever spent than flow in. What differs from exact limits is
when: a worker may use later what it borrowed before. It never holds more than its part of a tenth
of the smallest burst, so that beyond what the exact limit admits in any stretch of time, all
workers together admit at most that tenth. Where its part is less than two tokens it borrows none.

A batch is sized by demand: twice as large when the last was used up within a moment, half when it
lasted. Nobody waits for a batch: who comes when none is held asks the store himself. What nobody
has used for a while is given back.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final

from tidegate.rate_limiter.limiter import Limiter
from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.plain_decision import Decision, plain_decision

SOON_S: Final = 0.1
"""A batch that was used up so soon was too small; one that lasted twice as long, too large."""
REFUSED_S: Final = 0.05
"""After a batch was refused, single requests are asked for so long."""
IDLE_S: Final = 1.0
"""What was not used for so long is given back."""
BORROWERS_MAX: Final = 1000
"""Subjects of which tokens are held at a time, about 0.5 KB each; further ones are exact."""


class _Purse:
    """The tokens of one subject that this worker holds."""

    __slots__ = (
        "asked_at",
        "batch",
        "borrowed_at",
        "figures",
        "held",
        "is_borrowing",
        "not_before",
    )

    def __init__(self, now: float) -> None:
        self.held = 0
        self.batch = 1
        self.figures: tuple[int, ...] = ()
        """What the store said of each limit when it lent the last batch."""
        self.is_borrowing = False
        self.asked_at = self.borrowed_at = now
        self.not_before = 0.0


class Borrower:
    """One for a worker; `close` it before the store. Times are those of `time.perf_counter`."""

    def __init__(self, limiter: Limiter, workers: Callable[[], int]) -> None:
        """`workers` tells how many share the limits, as last known."""
        self._limiter = limiter
        self._workers = workers
        self._purses: dict[Subject, _Purse] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """How many tokens are held now, of all subjects."""
        return sum(purse.held for purse in self._purses.values())

    def take(self, subject: Subject, costs: Costs, now: float) -> Decision | None:
        """Admit a request by tokens that are held; None: the store must be asked for it."""
        most = subject.lent_max // self._workers()
        if most < 2:
            return None
        purse = self._purses.get(subject)
        if purse is None:
            if len(self._purses) < BORROWERS_MAX:
                self._purses[subject] = _Purse(now)
            return None
        asked_at, purse.asked_at = purse.asked_at, now
        cost = costs[0]
        if purse.held < cost:
            if now - asked_at < SOON_S:
                self._borrow(subject, purse, most, now)
            return None
        purse.held -= cost
        if purse.held * 2 < purse.batch:
            self._borrow(subject, purse, most, now)
        return _lent(subject, costs, purse)

    def close(self) -> None:
        """Give back what is held: nothing is admitted any more."""
        if self._timer is not None:
            self._timer.cancel()
        for subject, purse in self._purses.items():
            self._give_back(subject, purse)
        self._purses.clear()

    def _borrow(self, subject: Subject, purse: _Purse, most: int, now: float) -> None:
        """Ask for another batch, of which nothing is known until the store has lent it."""
        if purse.is_borrowing or now < purse.not_before:
            return
        lasted_s = now - purse.borrowed_at
        if lasted_s < SOON_S:
            purse.batch *= 2
        elif lasted_s > 2 * SOON_S:
            purse.batch //= 2
        purse.batch = max(1, min(purse.batch, most - purse.held))
        if purse.held >= most:
            return
        purse.is_borrowing, purse.borrowed_at = True, now
        costs = (purse.batch,)
        answer = self._limiter.ask(subject, costs)
        answer.add_done_callback(partial(self._borrowed, subject, purse, costs))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._sweep, now)

    def _borrowed(
        self, subject: Subject, purse: _Purse, costs: Costs, answer: asyncio.Future[Any]
    ) -> None:
        purse.is_borrowing = False
        lent = None
        if not answer.cancelled() and answer.exception() is None:
            lent = plain_decision(subject, costs, answer.result())
        if lent is None or not lent.allowed:
            purse.not_before, purse.batch = purse.borrowed_at + REFUSED_S, 1
        elif self._purses.get(subject) is purse:
            purse.held += costs[0]
            purse.figures = lent.figures
            subject.last[:] = lent.figures, perf_counter()
        else:
            self._limiter.refund(subject, costs)  # closed, or forgotten, in the meantime

    def _sweep(self, since: float) -> None:
        """Give back what nobody has used since the last sweep, and forget who asks no more."""
        self._timer = None
        latest = since
        for subject, purse in tuple(self._purses.items()):
            latest = max(latest, purse.asked_at)
            if purse.asked_at <= since and not purse.is_borrowing:
                del self._purses[subject]
                self._give_back(subject, purse)
        if self._purses:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._sweep, latest)

    def _give_back(self, subject: Subject, purse: _Purse) -> None:
        if purse.held:
            self._limiter.refund(subject, (purse.held,))
            purse.held = 0


def _lent(subject: Subject, costs: Costs, purse: _Purse) -> Decision:
    """Return the admission: what is left is what the store said and what is held."""
    reply = [1]
    figures = zip(subject.capacities, purse.figures[::2], purse.figures[1::2], strict=True)
    for capacity, remaining, seconds in figures:
        reply += min(remaining + purse.held, capacity - costs[0]), seconds
    return plain_decision(subject, costs, reply)
