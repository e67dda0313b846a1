"""How much: the limits of a request, decided together, before anything is sent on.

The question leaves with `ask` where the caller is known by then, else when the policy's turn comes.
Which limits these are, and where each counts, is limit_subjects'; who has none is asked nothing.
The limits' fields, on every answer to a limited request, are answer_fields.py's. What becomes of a
request if the store cannot be asked, `on_store_failure` says: the route's, else the plan's.
"""

import logging
from asyncio import CancelledError, Future
from collections.abc import Awaitable
from contextlib import suppress
from time import perf_counter
from typing import Any

from tidegate.config import Route
from tidegate.http import Response
from tidegate.http.errors import StoreUnavailable
from tidegate.policies.cost import RouteCosts
from tidegate.policies.limit_signals import LimitSignals
from tidegate.policies.limit_subjects import RouteSubjects, Subjects
from tidegate.policies.policy import Context, Next, Request
from tidegate.rate_limiter import Costs, Decision, Limiter, Subject
from tidegate.rate_limiter.borrowing import Borrower
from tidegate.rate_limiter.degraded import DEFAULT
from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.lease_keeper import LeaseKeeper
from tidegate.rate_limiter.refusals import remember, standing
from tidegate.store import CommandFailed

logger = logging.getLogger("tidegate.policies")


class Limit:
    """Charges what a request counts in with the route's cost, or refuses with 429."""

    def __init__(
        self,
        limiter: Limiter,
        borrower: Borrower,
        leases: LeaseKeeper,
        subjects: RouteSubjects,
        signals: LimitSignals,
        costs: RouteCosts,
        *,
        needs_caller: bool,
    ) -> None:
        self.subjects = subjects
        self._limiter = limiter
        self._borrower = borrower
        self._leases = leases
        self._signals = signals
        self._known = subjects.known
        self.costs = costs
        self._fixed = costs.fixed
        self._needs_caller = needs_caller

    def ask(self, request: Request, context: Context) -> None:
        """Queue the decision, once the caller is known.

        Raises HeaderMissing, CostUnclear, and what the store is certain to refuse with.
        """
        caller = context.caller
        if caller is None and self._needs_caller:
            return
        subject = self._known.get(caller)
        if subject.__class__ is not Subject:
            subject = self.subjects.of(caller, request)
        if subject.limits:
            costs = self._fixed or self.costs.of(request, subject)
            context.counted = subject, costs
            if subject.lent_max and self._is_lent(subject, costs, context):
                return
            if subject.refusals and (refusal := standing(subject, costs, perf_counter())):
                self._note(refusal, subject, context)
                raise refusal.error(self._limiter.retry_jitter)
            context.pending_limits = self._limiter.ask(subject, costs)

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        context = request.context
        if context.pending_limits is None:
            if context.decision is None:
                self.ask(request, context)
            if context.pending_limits is None:
                return call_next(request)
        return self._decided(request, context, call_next)

    async def _decided(self, request: Request, context: Context, call_next: Next) -> Response:
        assert context.counted is not None  # noqa: S101 - what is asked is counted
        subject, costs = context.counted
        answer, context.pending_limits = context.pending_limits, None
        try:
            reply = await answer
        except StoreUnavailable as error:
            decided = self._without_store(subject, costs, context, error.detail)
            if decided is None:
                raise
            decision = decided
        except CancelledError:
            self._give_back(subject, costs, answer)
            raise
        except CommandFailed as error:
            # The script itself failed: that is the store's state, and never an admission.
            logger.error("the limits in %s cannot be decided: %s", subject.keys, error)
            raise StoreUnavailable(
                "The limits cannot be decided now", headers=((b"retry-after", b"1"),)
            ) from error
        else:
            decision = self._limiter.decision(subject, costs, reply)
        finally:
            del answer  # it holds what it failed with, which leads back here: a circle
        self._note(decision, subject, context)
        if decision.degraded is None:
            last = subject.last
            last[0], last[1] = decision.figures, context.decided_at
        if not decision.allowed:
            if decision.stands_s and not subject.is_told:
                remember(subject, costs, decision, context.started_at)
            raise decision.error(self._limiter.retry_jitter)
        if decision.lease is not None:
            return await self._held(decision.lease, request, call_next)
        answer = call_next(request)
        return answer if isinstance(answer, Response) else await answer

    def _is_lent(self, subject: Subject, costs: Costs, context: Context) -> bool:
        """Decide by tokens that this worker holds, if it holds enough."""
        decision = self._borrower.take(subject, costs, context.started_at)
        if decision is None:
            return False
        self._note(decision, subject, context)
        return True

    def _note(self, decision: Decision, subject: Subject, context: Context) -> None:
        """Keep what was decided with the request, and tell who is to be told."""
        context.decided_at = perf_counter()
        context.decision = decision
        if subject.is_told:
            self._signals.seen(context, subject, decision)

    def _give_back(self, subject: Subject, costs: Costs, answer: Future[Any]) -> None:
        """End the lease that may be in an answer which came too late to be looked at."""
        if not answer.done() or answer.cancelled() or answer.exception() is not None:
            return
        with suppress(StoreUnavailable):  # no answer at all: the cancelling goes on
            decision = self._limiter.decision(subject, costs, answer.result())
            if decision.lease is not None:
                self._limiter.release(decision.lease)

    async def _held(self, lease: Lease, request: Request, call_next: Next) -> Response:
        """Pass the request on, and end its lease when the exchange ends, in whatever way."""
        leases = self._leases
        leases.hold(lease)
        try:
            response = await call_next(request)
        except BaseException:
            leases.release(lease)
            raise
        if isinstance(response.body, bytes) and not response.needs_release:
            leases.release(lease)  # the answer is there: nothing runs for it any more
        else:
            response.on_close(lambda _: leases.release(lease))
        return response

    def _without_store(
        self, subject: Subject, costs: Costs, context: Context, why: str
    ) -> Decision | None:
        """Decide as the route, else the plan says of a store that is away; None: not at all."""
        route, caller = context.route, context.caller
        mode = route.on_store_failure if route is not None else None
        if mode is None and caller is not None:
            mode = caller.on_store_failure
        return self._limiter.degraded.decision(subject, costs, mode or DEFAULT, why)


def build(
    route: Route,
    limiter: Limiter,
    borrower: Borrower,
    leases: LeaseKeeper,
    subjects: Subjects,
    signals: LimitSignals,
    costs: RouteCosts,
) -> Limit | None:
    """Return the policy, or None where nobody has a key and no limit does without one."""
    on_route = subjects.on(route, costs.units)
    if not route.auth and not on_route.has_any():
        return None
    return Limit(limiter, borrower, leases, on_route, signals, costs, needs_caller=bool(route.auth))
