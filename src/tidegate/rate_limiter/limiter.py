"""The limiter: one store command decides about all limits of a request.

`ask` queues the script and returns at once, so that the decision travels in the same write as
whatever else the event loop's tick asks of the store. The rules are the script's (scripts/): it
runs alone in the store and on the store's clock, which is what makes a decision atomic across
all processes and machines. What is told afterwards (a lease's end, what a request did cost) is
queued likewise, and nobody waits for it.
"""

import asyncio
import os
from collections.abc import Iterable
from functools import partial
from itertools import count
from math import ceil
from typing import Any, Final

from tidegate.rate_limiter.calls import (
    decide_call,
    lease_call,
    look_call,
    renew_calls,
    settle_call,
)
from tidegate.rate_limiter.decision import decision
from tidegate.rate_limiter.degraded import Degraded
from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.limits import (
    REQUESTS,
    Costs,
    Counter,
    Subject,
    compiled_subject,
    key_state,
    tenant_states,
)
from tidegate.rate_limiter.local_limits import Place
from tidegate.rate_limiter.parts import Asking, decided_in_parts, subject_by_slots
from tidegate.rate_limiter.plain_decision import Decision, plain_decision
from tidegate.rate_limiter.states import LimitState, present_states
from tidegate.rate_limiter.units import SECOND_US
from tidegate.store import Store

SCAN_COUNT: Final = 1000
RESET_TIMEOUT_S: Final = 5.0
"""A reset walks the whole store; each step of it is short, but no request waits for it."""
IN_TENANTS: Final = b"[kt]*"
"""How the names of a tenant's states go on: a key's, and those that its keys share."""
OUTSIDE: Final = b"[cprw]*"
"""How those below a state outside go on: by plan, by route, a window, leases. Told apart because
a tenant may be called as such a state is (`g`)."""
ON_THE_WAY_S: Final = 0.1
"""By the store's clock, what is settled may have been charged earlier by so much than the gateway
says: twice the default deadline."""


class Limiter:
    """Decides, and forgets on demand. Holds no state: all of it is in the store."""

    def __init__(self, store: Store, retry_jitter: float = 0.0) -> None:
        """`retry_jitter` is the share by which Retry-After may be longer than the wait."""
        self.retry_jitter = retry_jitter
        self._store = store
        self._call = store.call
        self.degraded = Degraded(store, self._charge)
        """Decides while the store cannot be asked."""
        self._leases_of = os.urandom(8)
        self._leases = count()

    def subject(self, counters: Iterable[Counter], units: tuple[str, ...] = (REQUESTS,)) -> Subject:
        """Compile what a request counts in, to be kept for as long as it stays the same.

        `units` says what the numbers of `costs` count, requests first.
        """
        if self._store.is_cluster:
            return subject_by_slots(counters, units)
        return compiled_subject(counters, units)

    def ask(self, subject: Subject, costs: Costs) -> asyncio.Future[Any]:
        """Queue the decision now; the reply awaits `decision`. Spends if it admits."""
        call = subject.calls.get(costs)
        if call is not None:
            return self._call(call)
        lease = self._new_lease(subject) if subject.leases else None
        if subject.parts:
            asking = self._in_parts(costs, lease)
            return asyncio.ensure_future(decided_in_parts(subject, costs, asking))
        return self._ask_one(subject, costs, lease)

    def decision(self, subject: Subject, costs: Costs, reply: Any) -> Decision:
        """Return what the reply to `ask` means. Raises StoreUnavailable if it is not one."""
        if subject.replies_plainly:
            return plain_decision(subject, costs, reply)
        return decision(subject, costs, reply)

    def settle(
        self,
        subject: Subject,
        reserved: int,
        actual: int,
        unit: str = REQUESTS,
        *,
        age_s: float = 0.0,
    ) -> asyncio.Future[Any] | None:
        """Charge what a request cost beyond what was reserved for it, or give back the rest.

        `age_s`: since it was asked for. More than a limit holds can be owed, up to as much again.
        Nobody needs to wait for what is returned; None where there is nothing to do.
        """
        index = subject.units.index(unit)
        differences = tuple(
            actual - reserved if each == index else 0 for each in range(len(subject.units))
        )
        return self._settled(subject, differences, age_s)

    def refund(
        self, subject: Subject, costs: Costs, *, age_s: float = 0.0
    ) -> asyncio.Future[Any] | None:
        """Give back what an admitted request was charged, but not its lease."""
        return self._settled(subject, tuple(-cost for cost in costs), age_s)

    def release(self, lease: Lease) -> None:
        """End a lease, taken or not. Nobody waits for it: what is lost here ends by itself."""
        for key, _ in lease.places:
            self._store.execute(b"ZREM", key, lease.identity)

    def renew(self, leases: Iterable[Lease]) -> None:
        """Let leases last for their full time again, also where the store lost them."""
        for call in renew_calls(leases):
            self._call(call)

    async def states(self, subject: Subject) -> tuple[LimitState, ...]:
        """Return what is left of each limit, and spend nothing."""
        if not subject.limits:
            return ()
        nothing = (0,) * len(subject.units)
        if subject.parts:
            reply = await decided_in_parts(subject, nothing, self._in_parts(nothing, None))
        else:
            reply = await self._ask_one(subject, nothing, None)
        return present_states(subject, reply)

    async def reset(self, tenant: str, key_id: str | None = None) -> int:
        """Forget what a key has spent, or a whole tenant with all its keys; return how many
        states were deleted. What a key shares with its tenant stays when only the key is reset.
        """
        if key_id is None:
            return await self._forget(tenant_states(tenant) + IN_TENANTS)
        own = key_state(tenant, key_id)
        return int(await self._unlink([own])) + await self._forget(own + b":*")

    async def reset_outside(self, state: bytes) -> int:
        """Forget a state in no tenant's hash slot, and what single plans and routes say there."""
        return int(await self._unlink([state])) + await self._forget(state + b":" + OUTSIDE)

    def _new_lease(self, subject: Subject) -> Lease:
        return Lease(self._leases_of + next(self._leases).to_bytes(6), subject.leases)

    def _ask_one(self, subject: Subject, costs: Costs, lease: Lease | None) -> asyncio.Future[Any]:
        if lease is None:
            return self._call(decide_call(subject, costs))
        answer = self._call(lease_call(subject, costs, lease))
        answer.add_done_callback(partial(self._release_unknown, lease))
        return answer

    def _in_parts(self, costs: Costs, lease: Lease | None) -> Asking:
        """Return how each part of a subject is asked, with the lease where it has a place."""

        def own(part: Subject) -> Lease | None:
            return Lease(lease.identity, part.leases) if lease and part.leases else None

        def give_back(part: Subject, age_s: float) -> None:
            self.refund(part, costs, age_s=age_s)
            if taken := own(part):
                self.release(taken)

        return Asking(
            ask=lambda part: self._ask_one(part, costs, own(part)),
            look=lambda part: self._call(look_call(part, costs, own(part))),
            give_back=give_back,
        )

    def _release_unknown(self, lease: Lease, answer: asyncio.Future[Any]) -> None:
        """Nobody will know whether the lease was taken: the question is sent, its answer is not
        awaited or did not come."""
        if answer.cancelled() or answer.exception() is not None:
            self.release(lease)

    def _charge(self, place: Place, amount: int) -> asyncio.Future[Any] | None:
        """Charge one limit with what was admitted while the store was away."""
        state, limit = place
        units = (REQUESTS,) if limit.unit == REQUESTS else (REQUESTS, limit.unit)
        subject = self.subject((Counter(state, (limit,)),), units)
        return self.settle(subject, 0, amount, limit.unit)

    def _settled(
        self, subject: Subject, differences: Costs, age_s: float
    ) -> asyncio.Future[Any] | None:
        if subject.parts:
            told = [self._settled(part.subject, differences, age_s) for part in subject.parts]
            waiting = [answer for answer in told if answer is not None]
            return asyncio.gather(*waiting, return_exceptions=True) if waiting else None
        if subject.is_plain:
            subject = subject.as_settled()
        call = settle_call(subject, differences, ceil((age_s + ON_THE_WAY_S) * SECOND_US))
        return None if call is None else self._call(call)

    async def _forget(self, pattern: bytes) -> int:
        deleted, cursor = 0, b"0"
        while True:
            cursor, states = await self._store.execute(
                b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCAN_COUNT,
                timeout_s=RESET_TIMEOUT_S,
            )  # fmt: skip
            if states:
                deleted += int(await self._unlink(states))
            if cursor == b"0":
                return deleted

    def _unlink(self, states: list[bytes]) -> asyncio.Future[Any]:
        return self._store.execute(b"UNLINK", *states, timeout_s=RESET_TIMEOUT_S)
