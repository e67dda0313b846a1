"""Which of the stored responses serves a request best, and what is to be done with it. Pure.

What the rules say of a single one is `lookup.decide`.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from tidegate.cache.lookup import Kind, Verdict, decide
from tidegate.cache.status_field import Forwarded
from tidegate.cache.stored import Stored
from tidegate.http import Headers

_USABLE: Final = (Kind.FRESH, Kind.STALE)


class Choice(NamedTuple):
    entry: bytes
    """The key under which it lies."""
    stored: Stored
    verdict: Verdict

    @property
    def answers(self) -> bool:
        """Whether it answers the request as it is."""
        return self.verdict.kind in _USABLE

    @property
    def may_be_validated(self) -> bool:
        return self.verdict.kind is Kind.VALIDATE

    @property
    def why_forwarded(self) -> Forwarded:
        """Why it did not do."""
        if self.verdict.kind is Kind.MISS:
            return Forwarded.MISS
        return Forwarded.STALE if self.verdict.ttl_s <= 0 else Forwarded.REQUEST


def chosen(
    request_headers: Headers, entries: Iterable[tuple[bytes, Stored]], now: float
) -> Choice | None:
    """Return the first that answers, else one that may be validated, else any; None of none."""
    best = None
    for entry, stored in entries:
        choice = Choice(entry, stored, decide(request_headers, stored, now))
        if choice.answers:
            return choice
        if best is None or (choice.may_be_validated and not best.may_be_validated):
            best = choice
    return best
