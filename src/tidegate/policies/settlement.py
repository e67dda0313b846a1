"""What a call used, told by its answer: the rest of what was reserved for it is given back.

A route says where: in a field of the answer, or in its JSON, which passes by unbuffered; each piece
is looked at after it has been sent on. Whatever the answer said last before it ended, in whatever
way, is what the call used. Of an answer that says nothing the reservation stands, and of one that
was cut before it said all terms of a sum at least that, so that leaving early is never free; it is
given back where the service did no work: the gateway itself or the cache has answered, or the
service with an error. The service is asked for answers that are not
compressed, since nothing can be read beside in those.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from tidegate.config import Route
from tidegate.config.costs import HeaderSettlement
from tidegate.http import Headers, Outcome, Response
from tidegate.http.watched_body import WatchedBody
from tidegate.policies.event_usage import EventUsage
from tidegate.policies.json_usage import JsonUsage
from tidegate.policies.now_and_then import NowAndThen
from tidegate.policies.policy import Context, Request
from tidegate.policies.usage_paths import USAGE_MAX, UsagePaths, whole_number
from tidegate.rate_limiter import Costs, Subject

logger: Final = logging.getLogger("tidegate.policies")

LOOKED_AT_ONCE: Final = 16 * 1024
"""Bytes: at the most 10 ms of the loop, if they are made to take long. Others run after that."""

Settle = Callable[[Costs], None]
"""Is told, once and without waiting, what a call has really cost."""


class Rule(NamedTuple):
    """Where one unit's amount is told: in a field, or as the sum of numbers in the JSON."""

    unit: str
    place: int
    """Of the unit among the costs."""
    header: bytes | None
    paths: tuple[str, ...]


class RouteSettlement:
    """How the answers of one route tell what was used."""

    def __init__(self, route: Route) -> None:
        self.rules: tuple[Rule, ...] = tuple(_rules(route))
        self.paths = UsagePaths(path for rule in self.rules for path in rule.paths)
        self._route = route.name
        self._now_and_then = NowAndThen()

    def prepare(self, request: Request) -> None:
        """Ask the service for an answer that can be read."""
        if self.paths.paths:
            request.headers.replace(b"accept-encoding", b"identity")

    def counts_for(self, subject: Subject) -> bool:
        """Whether a limit counts what is settled."""
        units = {limit.unit for limit in subject.limits}
        return any(rule.unit in units for rule in self.rules)

    def told_nothing(self, rule: Rule) -> None:
        """Say in the log, now and then, that answers do not tell what the route says they do."""
        if self._now_and_then.has_come():
            where = " + ".join(rule.paths) if rule.header is None else rule.header.decode()
            logger.warning(
                "an answer on route %s tells no %s in %s: what was reserved for it stands",
                self._route, rule.unit, where,
            )  # fmt: skip


class Settlement:
    """Of one call that was let through: `reserved` is what it was charged."""

    __slots__ = ("_costs", "_is_free", "_reserved", "_route", "_settle", "_usage")

    def __init__(self, route: RouteSettlement, reserved: Costs, settle: Settle) -> None:
        self._route = route
        self._reserved = reserved
        self._settle = settle
        self._costs = list(reserved)
        self._is_free = False
        self._usage: JsonUsage | EventUsage | None = None

    def unanswered(self) -> None:
        """The service has not answered, and not because the client left: nothing was used."""
        for rule in self._route.rules:
            self._costs[rule.place] = 0
        self._tell()

    def answered(self, response: Response, context: Context) -> None:
        """Find out what was used, now or when the body has ended."""
        if context.source != "upstream":
            self.unanswered()  # what the cache repeats was used by an earlier call
            return
        self._is_free = response.status >= 400
        for rule in self._route.rules:
            if rule.header is not None:
                said = response.headers.get(rule.header) or b""
                self._take(rule, whole_number(said), is_whole=True)
        body = response.body
        self._usage = usage = _reader(response.headers, self._route.paths)
        if usage is None or isinstance(body, bytes):
            if usage is not None and isinstance(body, bytes):
                usage.feed(body)
            self._end(is_whole=True)
            return
        watched = _SettledBody(body, usage.feed)

        def closed(outcome: Outcome) -> None:
            watched.look()
            self._end(is_whole=outcome is Outcome.COMPLETE)

        response.body = watched
        response.on_close(closed)

    def _end(self, *, is_whole: bool) -> None:
        told: dict[str, int | None] = {}
        is_lost = False
        if self._usage is not None:
            self._usage.finish()
            is_lost = self._usage.is_lost
            told = dict(zip(self._route.paths.paths, self._usage.values, strict=True))
        for rule in self._route.rules:
            if rule.header is None:
                used = [value for path in rule.paths if (value := told.get(path)) is not None]
                at_least = 0
                is_cut = is_lost or not (is_whole or len(used) == len(rule.paths))
                if is_cut and not self._is_free:
                    at_least = self._reserved[rule.place]
                amount = max(sum(used), at_least) if used else None
                self._take(rule, amount, is_whole=is_whole)
        self._tell()

    def _tell(self) -> None:
        costs = tuple(self._costs)
        if costs != self._reserved:
            self._settle(costs)

    def _take(self, rule: Rule, used: int | None, *, is_whole: bool) -> None:
        if used is not None:
            self._costs[rule.place] = min(used, USAGE_MAX)
        elif self._is_free:
            self._costs[rule.place] = 0
        elif is_whole:
            self._route.told_nothing(rule)


class _SettledBody(WatchedBody):
    """A body that streams. Each piece is looked at when the next one is asked for: it is sent by
    then."""

    __slots__ = ("_feed", "_looked_at", "_piece")

    def __init__(self, body: AsyncIterator[bytes], feed: Callable[[bytes], None]) -> None:
        super().__init__(body)
        self._feed = feed
        self._piece = b""
        self._looked_at = 0

    async def __anext__(self) -> bytes:
        while len(self._piece) - self._looked_at > LOOKED_AT_ONCE:
            begin = self._looked_at
            self._looked_at += LOOKED_AT_ONCE
            self._feed(self._piece[begin : self._looked_at])
            await asyncio.sleep(0)
        self.look()
        self._piece = await self._body.__anext__()
        return self._piece

    def look(self) -> None:
        """Look at what is left of the piece that was passed on."""
        piece, self._piece = self._piece[self._looked_at :], b""
        self._looked_at = 0
        if piece:
            self._feed(piece)


def _rules(route: Route) -> list[Rule]:
    rules = []
    for place, (unit, cost) in enumerate(route.costs.items(), 1):
        settle = cost.settle
        if isinstance(settle, HeaderSettlement):
            rules.append(Rule(unit, place, settle.header.encode(), ()))
        elif settle is not None:
            rules.append(Rule(unit, place, None, settle.paths))
    return rules


def _reader(headers: Headers, paths: UsagePaths) -> JsonUsage | EventUsage | None:
    """Return what reads such an answer; None if nothing is looked for, or nothing could be read."""
    if not paths.paths or (headers.get(b"content-encoding") or b"identity").lower() != b"identity":
        return None
    kind = (headers.get(b"content-type") or b"").partition(b";")[0].lower()
    if kind.strip() == b"text/event-stream":
        return EventUsage(paths)
    return JsonUsage(paths) if b"json" in kind else None
