"""What a reply means: that of the larger script, too, with limits of several units, in the shadow,
and leases. Rarer than a plain one, and not as cheap.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tidegate.rate_limiter.errors import unusable
from tidegate.rate_limiter.header_fields import INTEGER_MAX
from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.plain_decision import Decision, plain_decision


def decision(subject: Subject, costs: Costs, reply: Any) -> Decision:
    """Return what `reply` decides about a request of `costs`. Raises StoreUnavailable."""
    if subject.replies_plainly:
        return plain_decision(subject, costs, reply)
    return _full_decision(subject, costs, reply)


class FullDecision(Decision):
    """A decision about limits of any kind."""

    __slots__ = ("_wants", "lease", "would_refuse")

    def __init__(
        self,
        subject: Subject,
        answer: "_Answer",
        tightest: int,
        retry_after_s: int | None,
    ) -> None:
        figures = answer.figures
        super().__init__(subject, answer.wants[0], answer.allowed, figures, tightest, retry_after_s)
        self._listed = tuple(
            figure for at in subject.shown for figure in figures[2 * at : 2 * at + 2]
        )
        self._wants = answer.wants
        self.would_refuse = tuple(subject.limits[index].name for index in answer.shadows)
        self.lease = answer.lease

    def _wanted(self) -> tuple[int, ...]:
        return self._wants

    def _refusing(self) -> tuple[bool, ...]:
        lefts = zip(self._subject.limits, self.figures[::2], self._wants, strict=True)
        return tuple(not limit.shadow and left < want for limit, left, want in lefts)


class _Answer(NamedTuple):
    """A reply that was checked."""

    allowed: bool
    figures: tuple[int, ...]
    """What remains of each limit and the seconds, in turn."""
    wants: tuple[int, ...]
    """What the request costs each limit."""
    shadows: tuple[int, ...]
    """Which limits in the shadow would refuse."""
    lease: Lease | None


def _full_decision(subject: Subject, costs: Costs, reply: Any) -> FullDecision:
    answer = _checked(subject, costs, reply)
    shown, figures = subject.shown, answer.figures
    if not shown:
        return FullDecision(subject, answer, 0, None)
    index = _lowest_share(subject, figures) if answer.allowed else _longest_wait(subject, answer)
    can_wait = not answer.allowed and all(
        answer.wants[at] <= subject.capacities[at] for at in shown
    )
    return FullDecision(subject, answer, index, figures[2 * index + 1] if can_wait else None)


def _checked(subject: Subject, costs: Costs, reply: Any) -> _Answer:
    limits = subject.limits
    size = 1 + 2 * len(limits)
    if type(reply) is not list or len(reply) < size or reply[0] not in (0, 1):
        raise unusable()
    allowed, figures = reply[0] == 1, reply[1:size]
    if {*map(type, figures)} != {int} or type(reply[0]) is not int:
        raise unusable()
    shadows: list[int] = []
    for index, limit in enumerate(limits):
        if limit.shadow and figures[2 * index] < 0:
            figures[2 * index] = -1 - figures[2 * index]
            shadows.append(index)
        in_range = 0 <= figures[2 * index] <= subject.capacities[index]
        if not in_range or not 0 <= figures[2 * index + 1] <= INTEGER_MAX:
            raise unusable()
    wants = _wants(subject, costs)
    lease = _lease(subject, reply[size:]) if allowed else None
    return _Answer(allowed, tuple(figures), wants, tuple(shadows), lease)


def _wants(subject: Subject, costs: Costs) -> tuple[int, ...]:
    leases = subject.first_lease
    by_cost = tuple(costs[unit] for unit in subject.unit_of[:leases])
    return by_cost + (1,) * (len(subject.limits) - leases)


def _lease(subject: Subject, rest: Sequence[Any]) -> Lease | None:
    if not subject.leases:
        return None
    if not rest:
        return None  # a worker that decides by itself takes none
    if len(rest) != 1 or type(rest[0]) is not bytes:
        raise unusable()
    return Lease(rest[0], subject.leases)


def _lowest_share(subject: Subject, figures: Sequence[int]) -> int:
    """Return the tightest limit of an admission: the one with the lowest remaining share."""
    return min(subject.shown, key=lambda at: figures[2 * at] / subject.capacities[at])


def _longest_wait(subject: Subject, answer: _Answer) -> int:
    """Return the tightest limit of a refusal: of those that refuse, the one that does longest."""
    figures, wants = answer.figures, answer.wants
    refusing = [at for at in subject.shown if figures[2 * at] < wants[at]]
    if not refusing:
        raise unusable()
    return max(refusing, key=lambda at: figures[2 * at + 1])
