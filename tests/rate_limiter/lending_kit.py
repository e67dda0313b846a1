"""A store that lends tokens at a time of the test's choice, and workers that borrow of it."""

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any

from tidegate.config.limits import Limit, TokenBucket
from tidegate.config.units import Rate
from tidegate.rate_limiter import Costs, Subject
from tidegate.rate_limiter.borrowing import Borrower
from tidegate.rate_limiter.limits import caller_counters, compiled_subject

SECOND = 10**6
tenants = map("t{}".format, count())


def bucket(
    rate: str = "100/second", burst: int = 200, name: str = "steady", **more: Any
) -> TokenBucket:
    number, period = rate.split("/")
    return TokenBucket(
        name=name, rate=Rate(int(number), period), burst=burst, precision="leased", **more
    )


def subject(*limits: Limit) -> Subject:
    return compiled_subject(caller_counters(next(tenants), "k", limits))


class Lender:
    """The real script at a time of the test's choice. With `waits`, answers come when told."""

    def __init__(self, decide: Callable[..., Any], *, waits: bool = False) -> None:
        self.now = 10**15
        self.calls = 0
        self.refunds: list[tuple[int, float]] = []
        self._decide = decide
        self._waits = waits
        self._under_way: list[tuple[Future[Any], list[Any]]] = []

    def ask(self, subject: Subject, costs: Costs) -> Future[Any]:
        self.calls += 1
        reply = self._decide(subject, costs, self.now)
        answer: Future[Any] = Future()
        self._under_way.append((answer, [*reply, *filter(None, [reply.wait_us])]))
        if not self._waits:
            self.answer()
        return answer

    def answer(self) -> None:
        """Let all answers that are under way arrive."""
        while self._under_way:
            answer, reply = self._under_way.pop(0)
            answer.set_result(reply)

    def refund(self, subject: Subject, costs: Costs, *, age_s: float) -> None:
        self.refunds.append((costs[0], age_s))
        settled = subject.as_settled()
        self._decide(settled, (-costs[0],), self.now, age=b"1")


class Worker:
    def __init__(self, lender: Lender, workers: int) -> None:
        self.borrower = Borrower(lender, lambda: workers)
        self._lender = lender

    def admits(self, subject: Subject, cost: int) -> bool:
        """Decide as the policy does: by what is held, else by the store."""
        held = self.borrower.take(subject, (cost,), self._lender.now / SECOND)
        if held is not None:
            assert held.allowed
            assert all(0 <= state.remaining <= state.capacity - cost for state in held.states)
            return True
        asked = self._lender.ask(subject, (cost,))
        self._lender.answer()
        return bool(asked.result()[0])
