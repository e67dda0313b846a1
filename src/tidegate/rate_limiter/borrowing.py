"""Leased precision: a worker borrows tokens in batches, so that a hot key costs no trip a request.

What is borrowed is charged in the store by the one script, all or nothing, before anybody is let
through on it; so of tokens no more are ever spent than flow in. What differs from exact limits is
when: a worker may use later what it borrowed before. Of each state of the store it never holds, or
has asked for, more than its part of a tenth of the smallest capacity, whichever keys and routes
count there; so that beyond what the exact limit admits in any stretch of time, all workers together
admit at most that tenth. How many they are is as last known: when there are more, each gives back
what is beyond its part. Where its part is less than two tokens, or nobody has told how many there
are, it borrows none.

A batch is sized by demand: twice as large when the last was used up within a moment, half when it
lasted. Nobody waits for a batch: who comes when none is held asks the store himself. What nobody
has used for a while is given back.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, Final

from tidegate.http.errors import StoreUnavailable
from tidegate.rate_limiter.limiter import Limiter
from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.plain_decision import Decision, plain_decision
from tidegate.store import CommandFailed

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
        "since",
    )

    def __init__(self, now: float) -> None:
        self.held = 0
        self.since = now
        """No token that is held was borrowed before."""
        self.batch = 1
        self.figures: tuple[int, ...] = ()
        """What the store said of each limit when it lent the last batch."""
        self.is_borrowing = False
        self.asked_at = self.borrowed_at = now
        self.not_before = 0.0


class Borrower:
    """One for a worker; `close` it before the store. Times are those of `time.perf_counter`."""

    def __init__(self, limiter: Limiter, workers: Callable[[], int]) -> None:
        """`workers` tells how many share the limits, as last known; 0: nobody has told yet."""
        self._limiter = limiter
        self._workers = workers
        self._purses: dict[Subject, _Purse] = {}
        self._lent: dict[bytes, int] = {}
        """By state, how many tokens are held or asked for that are counted there."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """How many tokens are held now, of all subjects."""
        return sum(purse.held for purse in self._purses.values())

    def take(self, subject: Subject, costs: Costs, now: float) -> Decision | None:
        """Admit a request by tokens that are held; None: the store must be asked for it."""
        most = self._most(subject)
        purse = self._purses.get(subject)
        if purse is None:
            if most >= 2 and len(self._purses) < BORROWERS_MAX:
                self._purses[subject] = _Purse(now)
                self._sweep_later(now)
            return None
        if purse.held > most:
            self._give_back(subject, purse, purse.held - most)
        asked_at, purse.asked_at = purse.asked_at, now
        cost = costs[0]
        if purse.held < max(cost, 1):
            if now - asked_at < SOON_S:
                self._borrow(subject, purse, most, now)
            return None
        self._drop(subject, purse, cost)
        if purse.held * 2 < purse.batch:
            self._borrow(subject, purse, most, now)
        return _lent(subject, costs, purse)

    def close(self) -> None:
        """Give back what is held: nothing is admitted any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for subject, purse in self._purses.items():
            self._give_back(subject, purse, purse.held)
        self._purses.clear()

    def _most(self, subject: Subject) -> int:
        """Return this worker's part of what may be held."""
        workers = self._workers()
        most = subject.lent_max // workers if workers else 0
        return most if most >= 2 else 0

    def _borrow(self, subject: Subject, purse: _Purse, most: int, now: float) -> None:
        """Ask for another batch, of which nothing is known until the store has lent it."""
        if purse.is_borrowing or now < purse.not_before:
            return
        room = most - max(self._lent.get(key, 0) for key in subject.keys)
        if room < 1:
            return
        purse.batch = max(1, min(grown(purse.batch, now - purse.borrowed_at), room))
        purse.is_borrowing, purse.borrowed_at = True, now
        costs = (purse.batch,)
        for key in subject.keys:
            self._lent[key] = self._lent.get(key, 0) + purse.batch
        answer = self._limiter.ask(subject, costs)
        answer.add_done_callback(partial(self._borrowed, subject, purse, costs))

    def _borrowed(
        self, subject: Subject, purse: _Purse, costs: Costs, answer: asyncio.Future[Any]
    ) -> None:
        purse.is_borrowing = False
        lent = None
        with suppress(StoreUnavailable, CommandFailed, asyncio.CancelledError):
            lent = plain_decision(subject, costs, answer.result())
        if not purse.held:
            purse.since = purse.borrowed_at
        purse.held += costs[0]
        if lent is None or not lent.allowed:
            purse.not_before, purse.batch = purse.borrowed_at + REFUSED_S, 1
            self._drop(subject, purse, costs[0])
        elif self._purses.get(subject) is purse:
            purse.figures = lent.figures
            subject.last[:] = lent.figures, perf_counter()
        else:
            self._give_back(subject, purse, costs[0])  # closed in the meantime

    def _sweep_later(self, since: float) -> None:
        if self._timer is None and self._purses:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._sweep, since)

    def _sweep(self, since: float) -> None:
        """Give back what nobody has used since the last sweep, and what is beyond this worker's
        part by now; forget who asks no more.
        """
        self._timer = None
        latest = since
        for subject, purse in tuple(self._purses.items()):
            latest = max(latest, purse.asked_at)
            if purse.asked_at <= since and not purse.is_borrowing:
                del self._purses[subject]
                self._give_back(subject, purse, purse.held)
            else:
                self._give_back(subject, purse, purse.held - self._most(subject))
        self._sweep_later(latest)

    def _give_back(self, subject: Subject, purse: _Purse, amount: int) -> None:
        if amount > 0:
            self._limiter.refund(subject, (amount,), age_s=perf_counter() - purse.since)
            self._drop(subject, purse, amount)

    def _drop(self, subject: Subject, purse: _Purse, amount: int) -> None:
        """Hold so many tokens less."""
        purse.held -= amount
        for key in subject.keys:
            left = self._lent[key] - amount
            if left:
                self._lent[key] = left
            else:
                del self._lent[key]


def grown(batch: int, lasted_s: float) -> int:
    """Return how many tokens to borrow after a batch that lasted so long."""
    if lasted_s < SOON_S:
        return batch * 2
    return batch // 2 if lasted_s > 2 * SOON_S else batch


def _lent(subject: Subject, costs: Costs, purse: _Purse) -> Decision:
    """Return the admission: what is left is what the store said and what is held."""
    reply = [1]
    figures = zip(subject.capacities, purse.figures[::2], purse.figures[1::2], strict=True)
    for capacity, remaining, seconds in figures:
        reply += min(remaining + purse.held, capacity - costs[0]), seconds
    return plain_decision(subject, costs, reply)
