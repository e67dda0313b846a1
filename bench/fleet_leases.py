"""Leased gateways of a simulated fleet: tokens borrowed in batches, by the rules of borrowing.py.

A request that finds a token is admitted at once; one that finds none asks the store for itself, and
nobody waits for a batch. Batches are charged whole or not at all, twice as large when the last was
used up soon, half when it lasted. A gateway (of one worker) holds its part of a tenth of the burst
at most, and gives back what it has not used for a while.
"""

from dataclasses import dataclass
from typing import Final

from bench.fleet_model import Exact, Inputs
from tidegate.rate_limiter.borrowing import IDLE_S, REFUSED_S, SOON_S, grown
from tidegate.rate_limiter.numbers import LENT

LEAST: Final = 2
"""Who could hold fewer borrows nothing."""
ASK, ANSWERED, SWEEP = -1.0, -2.0, -3.0


@dataclass(slots=True)
class Purse:
    asked_at: float
    borrowed_at: float
    held: int = 0
    batch: int = 1
    is_borrowing: bool = False
    is_swept: bool = False
    not_before: float = 0.0


class Leased(Exact):
    """What is asked singly is asked as exact limits do."""

    def __init__(self, gateways: int, rate: float, burst: float, inputs: Inputs) -> None:
        super().__init__(gateways, rate, burst, inputs)
        self.most = int(burst) // LENT // gateways
        self.purses: dict[int, Purse] = {}
        self.on_loan = self.on_loan_most = 0

    def arrive(self, gateway: int, now: float) -> None:
        purse = self.purses.get(gateway)
        if purse is None or self.most < LEAST:
            self.purses.setdefault(gateway, Purse(now, now))
            super().arrive(gateway, now)
            return
        asked_at, purse.asked_at = purse.asked_at, now
        if purse.held:
            purse.held -= 1
            self.on_loan -= 1
            self.answer(True, now, 0.0)
            if purse.held * 2 < purse.batch:
                self._borrow(gateway, purse, now)
            return
        if now - asked_at < SOON_S:
            self._borrow(gateway, purse, now)
        super().arrive(gateway, now)

    def happen(self, gateway: int, now: float, since: float, count: int) -> None:
        if since == ASK:
            done = self.served_at(0, now)
            lent = self.buckets[0].take_whole(count, done)
            self.on_loan += lent
            self.on_loan_most = max(self.on_loan_most, self.on_loan)
            self.later(done + self.distance_s(gateway), gateway, ANSWERED, lent)
        elif since == ANSWERED:
            self._answered(self.purses[gateway], count)
        elif since == SWEEP:
            self._sweep(gateway, self.purses[gateway], now)
        else:
            super().happen(gateway, now, since, count)

    def _borrow(self, gateway: int, purse: Purse, now: float) -> None:
        if purse.is_borrowing or now < purse.not_before:
            return
        if purse.held >= self.most:
            return
        wanted = grown(purse.batch, now - purse.borrowed_at)
        purse.batch = max(1, min(wanted, self.most - purse.held))
        purse.is_borrowing, purse.borrowed_at = True, now
        self.later(now + self.distance_s(gateway), gateway, ASK, purse.batch)
        if not purse.is_swept:
            purse.is_swept = True
            self.later(now + IDLE_S, gateway, SWEEP, 0)

    def _answered(self, purse: Purse, lent: int) -> None:
        purse.is_borrowing = False
        purse.held += lent
        if not lent:
            purse.not_before, purse.batch = purse.borrowed_at + REFUSED_S, 1

    def _sweep(self, gateway: int, purse: Purse, now: float) -> None:
        if now - purse.asked_at < IDLE_S or purse.is_borrowing:
            self.later(now + IDLE_S, gateway, SWEEP, 0)
            return
        purse.is_swept = False
        if purse.held:
            self.served_at(0, now)
            self.buckets[0].give_back(purse.held)
            self.on_loan -= purse.held
            purse.held = 0
