"""A decision: the store's answer about all limits of one request, and what it means to a client.

Pure: a reply becomes a value with its reasons. A reply of any other shape is a failure of the
store, never an admission. Hot: header fields are built with one `%` format each; what only a
refusal or a log needs is worked out when asked for.
"""

from random import random
from typing import Any, Final

from tidegate.http.errors import GatewayError
from tidegate.http.headers import HeaderField, line_of
from tidegate.rate_limiter.errors import (
    CapacityReduced,
    CostExceedsLimit,
    QuotaExceeded,
    unusable,
)
from tidegate.rate_limiter.header_fields import INTEGER_MAX
from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.limits import NO_VIOLATION, Costs, Subject, Violation, violation_of
from tidegate.rate_limiter.states import LimitState
from tidegate.rate_limiter.units import SECOND_US

JITTER_S_MAX: Final = 60.0
"""A quota of a month shall not keep anybody away for days longer."""


class Decision:
    """Whether the request may pass."""

    __slots__ = (
        "_cost",
        "_headers",
        "_listed",
        "_states",
        "_subject",
        "_tightest",
        "_violated",
        "allowed",
        "degraded",
        "figures",
        "retry_after_s",
        "stands_s",
    )

    would_refuse: tuple[str, ...] = ()
    """Names of the shadow limits that would have refused."""
    lease: Lease | None = None
    """What the request holds until it has ended; to be released then."""

    def __init__(
        self,
        subject: Subject,
        cost: int,
        allowed: bool,
        figures: tuple[int, ...],
        tightest: int,
        retry_after_s: int | None,
    ) -> None:
        """`tightest`: which of the limits is told of in the fields that tell of one alone."""
        self._subject = subject
        self._cost = cost
        self.figures = figures
        """What is left of each limit and in how many seconds there is more, in turn."""
        self._states: tuple[LimitState, ...] | None = None
        self._violated: Violation | None = None
        self.allowed = allowed
        self._tightest = tightest
        self._listed = figures
        """Those of the limits that clients are told of."""
        self._headers: tuple[HeaderField, ...] | None = None
        self.retry_after_s = retry_after_s
        """None where the request is admitted, and where it never can be."""
        self.stands_s = 0.0
        """For so long from the asking a refusal stands, and its wait is told the same."""
        self.degraded: str | None = None
        """How it was decided without the store: open or local."""

    @property
    def headers(self) -> tuple[HeaderField, ...]:
        """Return the header fields, which belong on every answer, admitted or refused."""
        if self._headers is None:
            lines = self.lines.split(b"\r\n") if self.lines else ()
            self._headers = tuple((name, value) for name, _, value in map(_split, lines))
        return self._headers

    @headers.setter
    def headers(self, fields: tuple[HeaderField, ...]) -> None:
        self._headers = fields

    @property
    def lines(self) -> bytes:
        """Return the same as they are written, with line breaks between them. Hot: one format."""
        if self._headers is not None:
            return b"\r\n".join(map(line_of, self._headers))
        formats, figures, at = self._subject.line_formats, self.figures, 2 * self._tightest
        if not formats:
            return b""
        return formats[self._tightest] % (figures[at], figures[at + 1], *self._listed)

    @property
    def states(self) -> tuple[LimitState, ...]:
        """Return every limit, in the order of the header fields."""
        if self._states is None:
            remaining, seconds = self.figures[::2], self.figures[1::2]
            self._states = tuple(
                LimitState(limit.name, capacity, left, reset_s, refuses and not self.allowed)
                for limit, capacity, left, reset_s, refuses in zip(
                    self._subject.limits,
                    self._subject.capacities,
                    remaining,
                    seconds,
                    self._refusing(),
                    strict=True,
                )
            )
        return self._states

    @property
    def violated(self) -> tuple[str, ...]:
        """Return the names of the limits that refuse; none where the request is admitted."""
        return self._violation.names

    @property
    def near(self) -> tuple[str, ...]:
        """Return the names of the limits of which the share that shall be told of is spent."""
        near_at = self._subject.near_at
        if not near_at:
            return ()
        remaining = zip(self._subject.limits, self.figures[::2], near_at, strict=True)
        return tuple(limit.name for limit, left, at in remaining if left <= at)

    def error(self, jitter: float = 0.0) -> GatewayError:
        """Return the error that refuses the request. `headers` belong on its answer as well.

        `jitter` is the share of the wait that Retry-After may be longer, never shorter.
        """
        retry_after_s = self.retry_after_s
        if retry_after_s is None:
            return CostExceedsLimit(self._never_detail())
        if jitter:
            spread_s = min(jitter * retry_after_s, JITTER_S_MAX)
            # Rounded up or down by chance: a share of a second is some seconds in some answers.
            retry_after_s += int(random() * spread_s + random())  # noqa: S311 - guards no secret
        violation = self._violation
        refusal = QuotaExceeded if self.degraded is None else CapacityReduced
        return refusal(
            f"Reached: {violation.words}. Try again in {retry_after_s} s",
            headers=((b"retry-after", b"%d" % retry_after_s),),
            members={"violated-policies": violation.names},
        )

    def _never_detail(self) -> str:
        subject = self._subject
        cost, capacity, limit = max(
            zip(self._wanted(), subject.capacities, subject.limits, strict=True),
            key=lambda each: each[0] - each[1],
        )
        return (
            f'This request costs {cost}, but the limit "{limit.name}" never holds more '
            f"than {capacity}: waiting does not help"
        )

    def _wanted(self) -> tuple[int, ...]:
        """Return what the request costs each limit."""
        return (self._cost,) * len(self._subject.limits)

    def _refusing(self) -> tuple[bool, ...]:
        """Return which of the limits refuse, if the request is refused."""
        return tuple(map(self._cost.__gt__, self.figures[::2]))

    @property
    def _violation(self) -> Violation:
        if self._violated is None:
            self._violated = self._looked_up() if not self.allowed else NO_VIOLATION
        return self._violated

    def _looked_up(self) -> Violation:
        subject = self._subject
        refuses = self._refusing()
        violation = subject.violations.get(refuses)
        if violation is None:
            violation = subject.violations[refuses] = violation_of(subject, refuses)
        return violation


def plain_decision(subject: Subject, costs: Costs, reply: Any) -> Decision:
    """Return what `reply` decides about a plain subject. Raises StoreUnavailable."""
    cost, capacities = costs[0], subject.capacities
    if type(reply) is list and len(reply) == 3 and len(capacities) == 1:
        # What most requests get, the leave of the one limit there is: nothing to choose from.
        allowed, remaining, seconds = reply
        if (
            allowed.__class__ is remaining.__class__ is seconds.__class__ is int
            and allowed == 1
            and 0 <= remaining <= capacities[0] - cost
            and 0 <= seconds <= INTEGER_MAX
        ):
            return Decision(subject, cost, True, (remaining, seconds), 0, None)
    if type(reply) is list and len(reply) == 2 + 2 * len(capacities):
        return _standing(subject, costs, reply)
    if type(reply) is not list or len(reply) != 1 + 2 * len(capacities):
        raise unusable()
    if type(reply[0]) is not int or reply[0] not in (0, 1):
        raise unusable()
    allowed = reply[0] == 1
    if not capacities:
        return Decision(subject, cost, allowed, (), 0, None)
    index = (
        _lowest_share(capacities, cost, reply) if allowed else _longest_wait(subject, cost, reply)
    )
    return _told(subject, cost, allowed, tuple(reply[1:]), index)


def _standing(subject: Subject, costs: Costs, reply: list[Any]) -> Decision:
    """Return the refusal that `reply` is, which says how long it takes until nothing refuses.

    It stands until a second is off that wait: before, its Retry-After is the same.
    """
    wait_us = reply.pop()
    if type(wait_us) is not int or not 0 <= wait_us <= INTEGER_MAX or reply[0] != 0:
        raise unusable()
    refusal = plain_decision(subject, costs, reply)
    if refusal.retry_after_s is not None and wait_us > 0:
        refusal.stands_s = ((wait_us - 1) % SECOND_US + 1) / SECOND_US
    return refusal


def _told(
    subject: Subject, cost: int, allowed: bool, figures: tuple[int, ...], index: int
) -> Decision:
    """Return the decision of which the limit at `index` is the tightest."""
    can_wait = not allowed and cost <= subject.cost_max
    return Decision(
        subject, cost, allowed, figures, index, figures[2 * index + 1] if can_wait else None
    )


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b": ")


def _lowest_share(capacities: tuple[int, ...], cost: int, reply: list[Any]) -> int:
    """Return the tightest limit of an admission: the one with the lowest remaining share."""
    tightest, lowest, at = 0, 2.0, 1
    for index, capacity in enumerate(capacities):
        remaining, seconds = reply[at], reply[at + 1]
        if (
            type(remaining) is not int
            or type(seconds) is not int
            or not 0 <= remaining <= capacity - cost
            or not 0 <= seconds <= INTEGER_MAX
        ):
            raise unusable()
        share = remaining / capacity
        if share < lowest:
            tightest, lowest = index, share
        at += 2
    return tightest


def _longest_wait(subject: Subject, cost: int, reply: list[Any]) -> int:
    """Return the tightest limit of a refusal: of those that refuse, the one that does longest."""
    tightest, longest = -1, -1
    for index, capacity in enumerate(subject.capacities):
        remaining, seconds = reply[2 * index + 1], reply[2 * index + 2]
        if (
            type(remaining) is not int
            or type(seconds) is not int
            or not 0 <= remaining <= capacity
            or not 0 <= seconds <= INTEGER_MAX
        ):
            raise unusable()
        if remaining < cost and seconds > longest:
            tightest, longest = index, seconds
    if tightest < 0:
        raise unusable()
    return tightest
