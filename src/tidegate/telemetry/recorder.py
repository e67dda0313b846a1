"""One cheap recording for each request: a tuple now, folded into sums ten times a second.

Hot: it reads the clock once and appends once. The timer that folds runs only while there is
something to fold. Refusals and streams, which are fewer, are looked at when they end. Knows the
pipeline's facts by their names alone.
"""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from tidegate.http import GatewayError, Outcome, Request, Response
from tidegate.http.watched_body import WatchedBody
from tidegate.telemetry.access_log import AccessLog, Entry
from tidegate.telemetry.decisions import DecisionSamples
from tidegate.telemetry.fold import REFUSALS, fold, parts_of
from tidegate.telemetry.meters import GATEWAY, UPSTREAM, Meter

CLIENT_GONE: Final = 499
"""What is recorded for a request whose client left before the answer: nginx's number for it."""
FOLD_S: Final = 0.1
LIMITS_MAX: Final = 1000
"""Limits whose refusals are counted apart: plans come and go through the admin API."""
OTHER_LIMITS: Final = ("", "")
"""Where the refusals of all others are counted: so no counter ever goes backwards."""


class Decision(Protocol):
    @property
    def allowed(self) -> bool: ...

    @property
    def violated(self) -> tuple[str, ...]:
        """The names of the limits that refuse."""


class Facts(Protocol):
    """What the pipeline knows about a request: its context."""

    caller: Any
    cache_status: str | None
    target: str | None
    source: str
    path: bytes
    """As the client asked for it."""
    started_at: float
    decided_at: float
    forwarded_at: float
    request_id: bytes

    @property
    def decision(self) -> Decision | None: ...


class Observed(NamedTuple):
    """A request that is recorded when it ends."""

    meter: Meter
    facts: Facts
    request: Request[Any]


class Recorder:
    """Made once for a gateway. `log` and `samples` are None where they are switched off."""

    def __init__(self, log: AccessLog | None, samples: DecisionSamples | None) -> None:
        self.last_trip_s = 0.0
        """How long the store's last measured trip took."""
        self.usage_lost = 0
        self.limit_refusals: dict[tuple[str, str], int] = {}
        """Refusals by plan (none on a route without auth) and limit, of the first LIMITS_MAX that
        refused."""
        self._log = log
        self._samples = samples
        self._meters: dict[tuple[str, str], Meter] = {}
        self.unrouted = self.meter("", "")

    def meter(self, service: str, route: str) -> Meter:
        """Return the meter of a route: the same one, in whichever snapshot the route is."""
        meter = self._meters.get((service, route))
        if meter is None:
            meter = self._meters[service, route] = Meter(service, route)
        return meter

    def folded(self) -> list[Meter]:
        """Return all meters, with everything recorded so far."""
        meters = list(self._meters.values())
        for meter in meters:
            self._fold(meter)
        return meters

    def answered(
        self, meter: Meter, facts: Facts, request: Request[Any], response: Response
    ) -> None:
        """Record a response that is on its way: at once if it is whole, else when it ends."""
        body = response.body
        if not isinstance(body, bytes):
            observed = Observed(meter, facts, request)
            watched = _RecordedBody(self, observed, response.status, body)
            response.body = watched
            response.on_close(watched.ended)
        elif self._log is None:
            self._count(meter, facts, request.method, response.status, len(body), perf_counter())
        else:
            now = perf_counter()
            self.ended(Observed(meter, facts, request), response.status, len(body), now, now)

    def failed(
        self, meter: Meter, facts: Facts, request: Request[Any], error: BaseException
    ) -> None:
        """Record a request that the gateway itself answers, because of `error`."""
        now = perf_counter()
        if facts.source == UPSTREAM:
            # It was sent on all the same: the time it took is the upstream's.
            facts.forwarded_at = facts.forwarded_at or facts.decided_at or facts.started_at
        facts.source = GATEWAY
        is_aborted = False
        if isinstance(error, GatewayError):
            status = error.status
            if status in REFUSALS:
                self._refused(meter, facts, request.method, status)
        elif is_aborted := isinstance(error, asyncio.CancelledError):
            status = CLIENT_GONE
        else:
            status = 500
        if self._log is None and not is_aborted:
            self._count(meter, facts, request.method, status, 0, now)
        else:
            observed = Observed(meter, facts, request)
            self.ended(observed, status, 0, now, now, is_aborted=is_aborted)

    def refused(self, status: int, *, is_cut: bool) -> None:
        """Count what was answered, or cut, before it could become a request."""
        statuses = self.unrouted.statuses[GATEWAY]
        statuses[status] = statuses.get(status, 0) + 1
        self.unrouted.aborted += is_cut

    def _count(
        self, meter: Meter, facts: Facts, method: str, status: int, size: int, answered_at: float
    ) -> None:
        records = meter.records
        if not records:
            asyncio.get_running_loop().call_later(FOLD_S, self._fold, meter)
        records.append((facts, method, status, size, answered_at))

    def ended(
        self,
        observed: Observed,
        status: int,
        size: int,
        answered_at: float,
        ended_at: float,
        *,
        is_aborted: bool = False,
    ) -> None:
        """Record a request of which everything is known."""
        meter, facts, request = observed
        if is_aborted:
            meter.aborted += 1
        self._count(meter, facts, request.method, status, size, answered_at)
        if self._log is None:
            return
        store_s, upstream_s = parts_of(facts, answered_at, self.last_trip_s)
        self._log.add(
            Entry(
                meter, facts.caller, facts.request_id, facts.source, facts.cache_status,
                facts.target, request.client, request.method, request.query, facts.path, status,
                size, ended_at - facts.started_at, store_s, upstream_s, is_aborted, ended_at,
            )
        )  # fmt: skip

    def _fold(self, meter: Meter) -> None:
        records = meter.records
        if records:
            meter.records = []
            self.usage_lost += fold(meter, records, self.last_trip_s)
            if self._samples is not None:
                self._samples.take_some(meter, records)

    def _refused(self, meter: Meter, facts: Facts, method: str, status: int) -> None:
        if self._samples is not None:
            self._samples.take_refusal(meter, facts, method, status)
        decision = facts.decision
        if decision is None or decision.allowed:
            return
        meter.refused += 1
        refusals = self.limit_refusals
        plan = "" if facts.caller is None else facts.caller.plan
        for name in decision.violated:
            limit = plan, name
            if limit not in refusals and len(refusals) >= LIMITS_MAX:
                limit = OTHER_LIMITS
            refusals[limit] = refusals.get(limit, 0) + 1


class _RecordedBody(WatchedBody):
    """A body that streams: counts its bytes, and is recorded when the exchange ends."""

    __slots__ = ("_answered_at", "_observed", "_recorder", "_size", "_status")

    def __init__(
        self, recorder: Recorder, observed: Observed, status: int, body: AsyncIterator[bytes]
    ) -> None:
        super().__init__(body)
        self._recorder = recorder
        self._observed = observed
        self._status = status
        self._answered_at = perf_counter()
        self._size = 0

    async def __anext__(self) -> bytes:
        piece = await self._body.__anext__()
        self._size += len(piece)
        return piece

    def ended(self, outcome: Outcome) -> None:
        self._recorder.ended(
            self._observed,
            self._status,
            self._size,
            self._answered_at,
            perf_counter(),
            is_aborted=outcome is Outcome.ABORTED,
        )
