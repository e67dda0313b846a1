"""What is left of each limit: after a decision, or when it is only asked for."""

from dataclasses import dataclass
from typing import Any

from tidegate.rate_limiter.errors import unusable
from tidegate.rate_limiter.limits import Subject


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit after the decision."""

    name: str
    capacity: int
    remaining: int
    reset_s: int
    """Until more is available; of a limit that refuses, until the cost is. 0: it is full."""
    is_violated: bool


def present_states(subject: Subject, reply: Any) -> tuple[LimitState, ...]:
    """Return the limits as they are, from the reply to a cost of 0. Raises StoreUnavailable.

    `is_violated`: a request of cost 1 would be refused now.
    """
    limits, capacities = subject.limits, subject.capacities
    if type(reply) is not list or len(reply) != 1 + 2 * len(capacities):
        raise unusable()
    states = []
    for index, (limit, capacity) in enumerate(zip(limits, capacities, strict=True)):
        remaining, seconds = reply[2 * index + 1], reply[2 * index + 2]
        if type(remaining) is not int or type(seconds) is not int:
            raise unusable()
        states.append(LimitState(limit.name, capacity, remaining, seconds, remaining < 1))
    return tuple(states)
