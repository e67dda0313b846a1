"""Which limits apply: of those of one name, the one that was said highest.

Lowest to highest: for everybody, on a route, by a plan, by a plan on a route, for a tenant, for a
key. The higher takes the lower's place whole (half of one bucket and half of another is nobody's
intention), and a null takes it away. Pure, and asked once for each caller on each form of route,
never by request.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from tidegate.config.limits import Limit, LimitEntry, NoLimit
from tidegate.config.schema import Route


class Level(Enum):
    """Where a limit was said, lowest to highest, in words."""

    EVERYBODY = "everybody"
    ROUTE = "route"
    PLAN = "plan"
    PLAN_ON_ROUTE = "plan on route"
    TENANT = "tenant"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """What is said of a caller at his own levels: made once for each key. Compares by what it
    says, so that callers who have the same are told by it."""

    plan: tuple[LimitEntry, ...] = ()
    plan_on_routes: Mapping[str, tuple[LimitEntry, ...]] = field(default_factory=dict)
    tenant: tuple[LimitEntry, ...] = ()
    key: tuple[LimitEntry, ...] = ()


NOBODY: Final = OwnLimits()
"""Without a caller, only what is said for everybody and on the route is there."""


class Applied(NamedTuple):
    """A limit that applies, and the level at which it was said."""

    limit: Limit
    level: Level


class Said(NamedTuple):
    """One entry at one level."""

    entry: LimitEntry
    level: Level

    @property
    def removes(self) -> bool:
        return isinstance(self.entry, NoLimit)


class Choice(NamedTuple):
    """All that is said under one name, lowest to highest: the last one holds."""

    name: str
    said: tuple[Said, ...]

    @property
    def holds(self) -> Said:
        return self.said[-1]


def applied(everybody: Iterable[LimitEntry], route: Route, own: OwnLimits) -> tuple[Applied, ...]:
    """Return the limits of a caller on a route, in the order in which names were first said."""
    return tuple(
        Applied(choice.holds.entry, choice.holds.level)
        for choice in choices(everybody, route, own)
        if not isinstance(choice.holds.entry, NoLimit)
    )


def choices(everybody: Iterable[LimitEntry], route: Route, own: OwnLimits) -> tuple[Choice, ...]:
    """Return what is said under each name: what holds, and what it takes the place of."""
    by_name: dict[str, list[Said]] = {}
    for said in _said(everybody, route, own):
        by_name.setdefault(said.entry.name, []).append(said)
    return tuple(Choice(name, tuple(found)) for name, found in by_name.items())


def _said(everybody: Iterable[LimitEntry], route: Route, own: OwnLimits) -> Iterator[Said]:
    levels = (
        (Level.EVERYBODY, everybody),
        (Level.ROUTE, route.limits),
        (Level.PLAN, own.plan),
        (Level.PLAN_ON_ROUTE, own.plan_on_routes.get(route.name, ())),
        (Level.TENANT, own.tenant),
        (Level.KEY, own.key),
    )
    for level, entries in levels:
        for entry in entries:
            yield Said(entry, level)
