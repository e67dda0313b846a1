"""Refusals that stand: who goes on asking costs the store one decision a second, not one each.

Between two decisions of the store nobody can be admitted who was refused, for a wait can only
become longer by what others spend; and until a second is off it nothing that the refusal says
changes either. So it is given again, to the letter, for the same costs only, and forgotten at the
moment that the next token is due. What does shorten a wait is rare (a reset, a settlement, a store
that lost its data) and is felt within that second; another plan makes another subject.
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
