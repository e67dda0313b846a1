"""Refusals that stand: who goes on asking costs the store one decision a second, not one each.

Until its wait has passed nobody can be admitted who was refused, for what others spend can only
make it longer; and until a second is off it, Retry-After is the same. So the refusal is given
again, for the same costs only, and forgotten at that moment, or when the wait is over if that is
sooner. What it says of other limits than the one that is waited for may be so old. What does
shorten a wait is rare (a reset, a settlement, a store that lost its data) and is felt within that
second; another plan makes another subject.
"""

from typing import Final

from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.plain_decision import Decision

REFUSALS_MAX: Final = 16
"""Kept for one subject: the costs of requests are few, or not worth it."""


def remember(subject: Subject, costs: Costs, refusal: Decision, asked_at: float) -> None:
    """Keep a refusal for as long as it stands, counted from the asking (`time.perf_counter`)."""
    refusals = subject.refusals
    if len(refusals) >= REFUSALS_MAX:
        refusals.clear()
    refusals[costs] = asked_at + refusal.stands_s, refusal


def standing(subject: Subject, costs: Costs, at: float) -> Decision | None:
    """Return the refusal that a request of `costs`, which came at `at`, is certain to meet."""
    kept = subject.refusals.get(costs)
    if kept is None or at >= kept[0]:
        return None
    refusal: Decision = kept[1]
    return refusal
