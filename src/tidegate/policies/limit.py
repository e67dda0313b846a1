"""How much: the plan's limits, decided together in one store command, before anything is sent on.

The question leaves with `ask` where the caller is known by then, else when the policy's turn
comes. The limits' fields, on every answer to a limited request, are answer_fields.py's.
"""

import logging
from collections.abc import Awaitable
from time import perf_counter
from typing import Final

from tidegate.config import Route
from tidegate.http import Response
from tidegate.http.errors import StoreUnavailable
from tidegate.identity import Caller
from tidegate.policies.policy import Context, Next, Policy, Request
from tidegate.rate_limiter import Limiter, Subject, caller_counters
from tidegate.store import CommandFailed

logger = logging.getLogger("tidegate.policies")

SUBJECTS_MAX: Final = 10_000
"""Compiled limits kept in a worker, as many as the resolver keeps callers."""


class Limit:
    """Charges the caller's limits with the route's cost, or refuses with 429."""

    def __init__(self, limiter: Limiter, subjects: dict[Caller, Subject], cost: int) -> None:
        self._limiter = limiter
        self._subjects = subjects
        self._costs = (cost,)

    def ask(self, request: Request, context: Context) -> None:
        """Queue the decision, if the caller is known and has limits."""
        caller = context.caller
        if caller is not None and caller.limits:
            subject = self._subjects.get(caller) or self._compiled(caller)
            context.pending_limits = subject, self._limiter.ask(subject, self._costs)

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        context = request.context
        if context.pending_limits is None:
            self.ask(request, context)
            if context.pending_limits is None:
                return call_next(request)
        return self._decided(request, context, call_next)

    async def _decided(self, request: Request, context: Context, call_next: Next) -> Response:
        subject, answer = context.pending_limits
        context.pending_limits = None
        try:
            reply = await answer
        except CommandFailed as error:
            # The script itself failed: that is the store's state, and never an admission.
            logger.error("the limits in %s cannot be decided: %s", subject.keys, error)
            raise StoreUnavailable(
                "The limits cannot be decided now", headers=((b"retry-after", b"1"),)
            ) from error
        finally:
            del answer  # it holds what it failed with, which leads back here: a circle
        context.decided_at = perf_counter()
        context.decision = decision = self._limiter.decision(subject, self._costs, reply)
        if not decision.allowed:
            raise decision.error()
        answer = call_next(request)
        return answer if isinstance(answer, Response) else await answer

    def _compiled(self, caller: Caller) -> Subject:
        if len(self._subjects) >= SUBJECTS_MAX:
            # Oldest first; a caller still in use is compiled again for about 20 microseconds.
            del self._subjects[next(iter(self._subjects))]
        subject = self._limiter.subject(
            caller_counters(caller.tenant, caller.key_id, caller.limits)
        )
        self._subjects[caller] = subject
        return subject


def build(route: Route, limiter: Limiter, subjects: dict[Caller, Subject]) -> Policy:
    """`subjects` is shared by all routes: a caller's limits are the same on each of them."""
    return Limit(limiter, subjects, route.cost)
