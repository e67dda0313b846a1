"""Leased gateways of a simulated fleet: each borrows tokens of the one store, as many as it expects
to need for a while, and decides by itself while it has some.

What is borrowed is spent in the store already, so that over any stretch no more than burst +
rate * time + what was out on loan at its beginning is admitted. What is not used in time goes back.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Final

from bench.fleet_model import Fleet, Inputs

LEASE_S: Final = 0.5
"""For how long a gateway borrows ahead, and for how long it keeps what it does not use."""
LOAN_MAX_SHARE: Final = 0.1
"""Of the burst, for one loan: a fleet that all borrow at once must find something left."""
MARGIN: Final = 2.0
"""It asks while what is left lasts for so many ways to the store and back."""
ASK, GRANT, RETURN = 0, 1, 2


@dataclass(slots=True)
class Worker:
    tokens: int = 0
    loan: int = 0
    """Counts the loans: one that is over returns nothing of the next."""
    is_asking: bool = False
    refuses_until: float = 0.0
    waiting: list[float] = field(default_factory=list)
    asked: int = 0
    """Requests since the last loan was asked for."""
    asked_since: float = 0.0
    demand: float = 0.0
    """Requests a second, as far as is known."""


class Leased(Fleet):
    """Asks when what is left would not last for the way to the store and back."""

    def __init__(self, gateways: int, rate: float, burst: float, inputs: Inputs) -> None:
        super().__init__(gateways, rate, burst, inputs)
        self.workers = [Worker() for _ in range(gateways)]
        self.on_loan = self.on_loan_most = 0

    def arrive(self, gateway: int, now: float) -> None:
        worker = self.workers[gateway]
        worker.asked += 1
        if worker.tokens:
            worker.tokens -= 1
            self.on_loan -= 1
            self.answer(True, now, 0.0)
        elif now < worker.refuses_until:
            self.answer(False, now, 0.0)
        else:
            worker.waiting.append(now)
        way_back_s = 2 * self.distance_s(gateway) + self.inputs.store_s
        is_short = worker.waiting or worker.tokens < MARGIN * worker.demand * way_back_s
        if is_short and not worker.is_asking and now >= worker.refuses_until:
            self._ask(gateway, worker, now)

    def _ask(self, gateway: int, worker: Worker, now: float) -> None:
        elapsed_s = max(now - worker.asked_since, LEASE_S / 8)
        worker.demand = (worker.demand + worker.asked / elapsed_s) / 2
        worker.asked, worker.asked_since, worker.is_asking = 0, now, True
        wanted = max(len(worker.waiting), ceil(worker.demand * LEASE_S) - worker.tokens, 1)
        wanted = min(wanted, max(1, int(self.burst * LOAN_MAX_SHARE)))
        self.later(now + self.distance_s(gateway), gateway, ASK, wanted)

    def happen(self, gateway: int, now: float, since: float, count: int) -> None:
        if since == ASK:
            done = self.served_at(0, now)
            granted = self.buckets[0].take(count, done)
            self.on_loan += granted
            self.on_loan_most = max(self.on_loan_most, self.on_loan)
            self.later(done + self.distance_s(gateway), gateway, GRANT, granted)
        elif since == GRANT:
            self._granted(gateway, now, count)
        elif count == self.workers[gateway].loan and self.workers[gateway].tokens:
            left, self.workers[gateway].tokens = self.workers[gateway].tokens, 0
            self.served_at(0, now)
            self.buckets[0].give_back(left)
            self.on_loan -= left

    def _granted(self, gateway: int, now: float, granted: int) -> None:
        worker = self.workers[gateway]
        worker.is_asking = False
        worker.tokens += granted
        worker.loan += 1
        for came_at in worker.waiting:
            admits = worker.tokens > 0
            worker.tokens -= admits
            if admits:
                self.on_loan -= 1
            self.answer(admits, now, now - came_at)
        worker.waiting.clear()
        if granted == 0:
            # As the store's Retry-After has it: a token's time, for all that wait alike.
            worker.refuses_until = now + min(LEASE_S, max(1 / self.rate, LEASE_S / 8))
        if worker.tokens:
            self.later(now + LEASE_S, gateway, RETURN, worker.loan)
