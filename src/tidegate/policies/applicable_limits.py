"""Which limits apply to a caller on a route, and where each counts: known before the request.

Which limit of a name holds is decided already (the precedence of the configuration); here each
finds its state. Limits by address or by a header wait for the request, which tells the value; what
a missing header means is the configuration's word, and without one the request is refused: never
does a limit pass in silence. Pure: reading a request is request_values'.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tidegate.config.limits import NEED_CALLER
from tidegate.config.precedence import Applied
from tidegate.config.schema import Limit
from tidegate.http import GatewayError
from tidegate.policies.scopes import ADDRESS, State, counted_in
from tidegate.rate_limiter import Counter, Whose

REFUSE: Final = "refuse"
_ORDER: Final = ("key", "tenant", "header", ADDRESS, "route", "global")
"""Of states, and so of header fields: who shares with the fewest comes first."""


class Value(NamedTuple):
    """What a request is counted by: for a limit by header, `per` is its fallback's if need be."""

    per: str
    value: bytes = b""


class Applicable(NamedTuple):
    """The limits of one caller, or of nobody, on one route."""

    whose: Whose
    fixed: tuple[Applied, ...]
    varying: tuple[Applied, ...]
    """Those that count by what each request tells."""

    def counters(self, values: Sequence[Value] = ()) -> tuple[Counter, ...]:
        """Return what a request counts in that tells these values, one for each of `varying`."""
        by_request = zip(self.varying, values, strict=True)
        counted = [(value, applied) for applied, value in by_request]
        counted += [(Value(applied.limit.per), applied) for applied in self.fixed]
        counted.sort(key=lambda entry: _ORDER.index(entry[0].per.partition(":")[0]))
        states: dict[State, list[Limit]] = {}
        for value, (limit, level) in counted:
            state = counted_in(level, value.per, self.whose, value.value)
            states.setdefault(state, []).append(limit)
        return tuple(
            Counter(state.name, tuple(limits), state.is_outside, state.whose)
            for state, limits in states.items()
        )


class HeaderMissing(GatewayError):
    status = 400
    slug = "header-missing"
    title = "A header is missing by which requests are counted"


def applicable(said: Iterable[Applied], whose: Whose, units: Sequence[str]) -> Applicable:
    """Sort the limits that hold. Left out are those that count a unit in which this route has no
    cost, and, where there is no caller, those that need one.
    """
    fixed: list[Applied] = []
    varying: list[Applied] = []
    for applied in said:
        limit = applied.limit
        if limit.unit not in units:
            continue
        if limit.per == ADDRESS or limit.header is not None:
            varying.append(applied)
        elif whose.is_known or limit.per not in NEED_CALLER:
            fixed.append(applied)
    return Applicable(whose, tuple(fixed), tuple(varying))


def fallback_of(limit: Limit, whose: Whose) -> str:
    """Return by what a request counts that lacks the limit's header. Raises HeaderMissing."""
    fallback = limit.on_missing or REFUSE
    if fallback == REFUSE or (fallback in NEED_CALLER and not whose.is_known):
        raise HeaderMissing(
            f'The limit "{limit.name}" counts by the header {limit.header}: send it',
            members={"header": limit.header, "limit": limit.name},
        )
    return fallback
