"""Settles what a call was charged in advance by what its answer says that it used.

Stands behind the limits, before all that may answer: what an answer means is settlement.py's. The
store is told when the exchange ends, and nobody waits for it. Where no word of the store let the
call through (it was away), there is nothing in it to settle. A client that leaves before there is
an answer pays what was reserved, or leaving early would be free; and so does one whose call was
sent on and had none in time, since the service may well have worked for it.
"""

import asyncio
import logging
from collections.abc import Awaitable
from time import perf_counter
from typing import Any, Final

from tidegate.config import Route
from tidegate.http import GatewayError, Response
from tidegate.http.errors import Retry
from tidegate.policies.policy import Context, Next, Request
from tidegate.policies.settlement import RouteSettlement, Settlement
from tidegate.rate_limiter import Costs, Limiter, Subject

logger: Final = logging.getLogger("tidegate.policies")


class Settle:
    def __init__(self, route: RouteSettlement, limiter: Limiter) -> None:
        self._route = route
        self._limiter = limiter

    def ask(self, request: Request, context: Context) -> None:
        """Queue nothing, and let those behind ask."""

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        counted, decision = request.context.counted, request.context.decision
        if counted is None or decision is None or decision.degraded is not None:
            return call_next(request)
        if not self._route.counts_for(counted[0]):
            return call_next(request)
        return self._settled(request, call_next, *counted)

    async def _settled(
        self, request: Request, call_next: Next, subject: Subject, reserved: Costs
    ) -> Response:
        context = request.context

        def settle(used: Costs) -> None:
            context.counted = subject, used  # for the decision's record
            age_s = perf_counter() - context.started_at
            for unit, before, after in zip(subject.units, reserved, used, strict=True):
                if before != after:
                    told = self._limiter.settle(subject, before, after, unit, age_s=age_s)
                    if told is not None:
                        told.add_done_callback(_look_at)

        settlement = Settlement(self._route, reserved, settle)
        self._route.prepare(request)
        try:
            response = await call_next(request)
        except Exception as error:
            if not _was_sent_on(error, context):
                settlement.unanswered()
            raise
        settlement.answered(response, context)
        return response


def build(route: Route, limiter: Limiter) -> Settle | None:
    """Return the layer; None where nothing is settled."""
    settlement = RouteSettlement(route)
    return Settle(settlement, limiter) if settlement.rules else None


def _was_sent_on(error: Exception, context: Context) -> bool:
    """Whether the service may have begun to work for a call that ended so."""
    is_unprocessed = isinstance(error, GatewayError) and error.retry is Retry.UNPROCESSED
    return context.source == "upstream" and not is_unprocessed


def _look_at(told: asyncio.Future[Any]) -> None:
    """What the store did not take is lost: the reservation stands then."""
    if not told.cancelled() and (error := told.exception()) is not None:
        logger.info("what a call used is not settled: %s", error)
