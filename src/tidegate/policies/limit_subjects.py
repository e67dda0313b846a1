"""What each caller counts in on each route, compiled once and kept: the limit policy's memory.

By caller and route a look-up finds either the whole, or, where limits count by what each request
tells, what a request is still to complete. Callers are told apart by identity: a change of key,
tenant or plan makes a new one, so that nothing here need hear of it. All is bounded over the routes
of a worker: the oldest caller goes first, and of what is compiled what nobody asked for longest.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeVar

from tidegate.config import Route
from tidegate.config.precedence import NOBODY, applied
from tidegate.config.schema import Limit
from tidegate.identity import Caller
from tidegate.policies.applicable_limits import Applicable, Value, applicable
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.policies.policy import Request
from tidegate.policies.request_values import RequestValues
from tidegate.rate_limiter import Counter, Limiter, Subject, Whose

SUBJECTS_MAX: Final = 10_000
"""Compiled limits kept in a worker, as many as the resolver keeps callers: about 2 KB each. As many
again are kept of those that requests complete, and of what is still to complete (0.3 KB)."""
KNOWN_MAX: Final = 20_000
"""Callers on routes, of whom each has mostly the same limits on all: about 1 KB each, where nothing
else holds the caller any more."""

Units = tuple[str, ...]
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, eq=False)
class Incomplete:
    """What a request completes by what it tells. Told apart by identity, like its caller."""

    applicable: Applicable
    units: Units


Found = Subject | Incomplete
Known = dict[Caller | None, Found]


class Subjects:
    """Those of a worker. `everybody`: the limits of the top level."""

    def __init__(
        self,
        limiter: Limiter,
        addresses: CountedAddresses,
        everybody: tuple[Limit, ...] = (),
    ) -> None:
        self._limiter = limiter
        self._values = RequestValues(addresses)
        self._everybody = everybody
        self._routes: dict[tuple[str, Units], RouteSubjects] = {}
        """As many as the configuration and an application's own code name."""
        self._known: deque[tuple[Known, Caller | None]] = deque()
        self._compiled: dict[tuple[tuple[Counter, ...], Units], Subject] = {}
        self._incomplete: dict[tuple[Applicable, Units], Incomplete] = {}
        self._completed: dict[tuple[Incomplete, tuple[Value, ...]], Subject] = {}

    def on(self, route: Route, units: Units) -> "RouteSubjects":
        """Return the memory of one route; `units`: in what it has costs, requests first."""
        found = self._routes.get((route.name, units))
        if found is None:
            found = self._routes[route.name, units] = RouteSubjects(self, route, units)
        return found

    def completed(self, incomplete: Incomplete, request: Request) -> Subject:
        """Return what a request counts in, by what it tells. Raises HeaderMissing."""
        key = incomplete, self._values.of(incomplete.applicable, request)
        subject = self._completed.pop(key, None)
        if subject is None:
            counters = incomplete.applicable.counters(key[1])
            subject = self._limiter.subject(counters, incomplete.units)
            _make_room(self._completed, SUBJECTS_MAX)
        self._completed[key] = subject
        return subject

    def applicable(self, caller: Caller | None, route: Route, units: Units) -> Applicable:
        """Return the limits of a caller, or of nobody, on a route."""
        if caller is None:
            whose, own = Whose("", "", "", route.name), NOBODY
        else:
            whose, own = Whose(caller.tenant, caller.key_id, caller.plan, route.name), caller.own
        return applicable(applied(self._everybody, route, own), whose, units)

    def as_told(self, incomplete: Incomplete, request: Request) -> Subject:
        """Return what a request counts in, less what needs a header that it lacks."""
        told = self._values.told(incomplete.applicable, request)
        found = self.compiled(told, incomplete.units)
        return self.completed(found, request) if isinstance(found, Incomplete) else found

    def compiled(self, found: Applicable, units: Units) -> Found:
        """Compile it, or what of it needs no request to be known."""
        if not found.varying:
            return self.subject(found.counters(), units)
        key = found, units
        incomplete = self._incomplete.pop(key, None)
        if incomplete is None:
            incomplete = Incomplete(*key)
            _make_room(self._incomplete, SUBJECTS_MAX)
        self._incomplete[key] = incomplete
        return incomplete

    def subject(self, counters: tuple[Counter, ...], units: Units) -> Subject:
        """Compile it, once for all routes on which the same is counted, and for as long as callers
        say the same: one whose key was read anew is another, and goes on where he was."""
        key = counters, units
        subject = self._compiled.pop(key, None)
        if subject is None:
            subject = self._limiter.subject(*key)
            _make_room(self._compiled, SUBJECTS_MAX)
        self._compiled[key] = subject
        return subject

    def keep(self, known: Known, caller: Caller | None, found: Found) -> None:
        """Keep what was found for a route's caller, and forget the oldest if there are too many."""
        if len(self._known) >= KNOWN_MAX:
            others, oldest = self._known.popleft()
            others.pop(oldest, None)
        self._known.append((known, caller))
        known[caller] = found


class RouteSubjects:
    """Those of one route."""

    def __init__(self, subjects: Subjects, route: Route, units: Units) -> None:
        self._subjects = subjects
        self._route = route
        self._units = units
        self.known: Known = {}

    def has_any(self) -> bool:
        """Whether there is a limit for requests without a caller."""
        found = self._subjects.applicable(None, self._route, self._units)
        return bool(found.fixed or found.varying)

    def of(self, caller: Caller | None, request: Request) -> Subject:
        """Return what a request of the caller counts in. Raises HeaderMissing."""
        found = self._found(caller)
        return found if isinstance(found, Subject) else self._subjects.completed(found, request)

    def as_told(self, caller: Caller | None, request: Request) -> Subject:
        """Return the same, less what needs a header that the request lacks."""
        found = self._found(caller)
        return found if isinstance(found, Subject) else self._subjects.as_told(found, request)

    def _found(self, caller: Caller | None) -> Found:
        found = self.known.get(caller)
        if found is None:
            subjects = self._subjects
            applicable = subjects.applicable(caller, self._route, self._units)
            found = subjects.compiled(applicable, self._units)
            subjects.keep(self.known, caller, found)
        return found


def _make_room(kept: dict[KeyT, ValueT], count_max: int) -> None:
    if len(kept) >= count_max:
        del kept[next(iter(kept))]
