"""Which limits apply on a route, in words: what each allows, where it counts, who said it where,
and in whose place it stands. By the same choice that the limit policy makes. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from tidegate.config import Config, Route
from tidegate.config.limit_words import allows
from tidegate.config.limits import NEED_CALLER, REQUESTS, Limit, NoLimit
from tidegate.config.places import limit_place
from tidegate.config.precedence import NOBODY, Choice, Level, OwnLimits, Said, choices
from tidegate.identity import Caller
from tidegate.policies.scopes import parts_of
from tidegate.rate_limiter import Whose

API: Final = "the API"
_OWNER: Final = {
    Level.PLAN: "plan",
    Level.PLAN_ON_ROUTE: "plan",
    Level.TENANT: "tenant",
    Level.KEY: "key",
}
"""The kinds of object that the API makes as well as the file."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose request it is, in the names by which the file knows them. Empty: nobody's."""

    tenant: str = ""
    plan: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Saying:
    """One place that says something under a name."""

    allows: str
    level: str
    by: str
    """`plan pro on route search`"""
    place: str
    """`gate.yaml:12`, or the API."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds under one name, and what it stands in the place of, the nearest first."""

    name: str
    applies: bool
    """Not where it is taken away, or cannot count: `idle` tells."""
    per: str
    counts: str
    holds: Saying
    replaced: tuple[Saying, ...]
    why: str
    """Why this one of all that are said under the name."""
    idle: str
    """Why it limits nothing here; empty where it does."""

    @staticmethod
    def from_dict(told: dict[str, Any]) -> "Rule":
        """Return what `asdict` told, also as JSON and by a gateway of another version."""
        known: dict[str, Any] = {one.name: told[one.name] for one in fields(Rule)}
        known["holds"] = _known_saying(told["holds"])
        known["replaced"] = tuple(map(_known_saying, told["replaced"]))
        return Rule(**known)


def own_limits(caller: Caller | None) -> tuple[OwnLimits, Owner]:
    """Return what is said of a caller, or nobody, and by which names."""
    if caller is None:
        return NOBODY, Owner()
    return caller.own, Owner(caller.tenant, caller.plan, caller.key_name)


def rules(config: Config, route: Route, own: OwnLimits, owner: Owner) -> tuple[Rule, ...]:
    """Return what is said under each name for a caller, or nobody, on a route."""
    whose = Whose(owner.tenant, owner.key, owner.plan, route.name)
    units = (REQUESTS, *route.costs)
    return tuple(
        _rule(config, choice, whose, owner, units) for choice in choices(config.limits, route, own)
    )


def _rule(config: Config, choice: Choice, whose: Whose, owner: Owner, units: Sequence[str]) -> Rule:
    *lower, holds = (_saying(config, said, whose, owner) for said in choice.said)
    entry, level = choice.holds
    if isinstance(entry, NoLimit):
        per, counts, idle = "", "", "it takes away what is said lower"
    else:
        per, counts = entry.per, counted(level, entry.per, whose, owner)
        idle = _why_idle(entry, whose, units)
    return Rule(
        name=choice.name,
        applies=not idle,
        per=per,
        counts=counts,
        holds=holds,
        replaced=tuple(reversed(lower)),
        why=_why(level, lower),
        idle=idle,
    )


def counted(level: Level, per: str, whose: Whose, owner: Owner) -> str:
    """Say who shares one count: `key ci of acme, on route search`."""
    parts = parts_of(level, per, whose)
    words = list(_sharers(parts, per, owner))
    if "r" in parts:
        words.append(f"on route {whose.route}")
    return ", ".join(words)


def _sharers(parts: str, per: str, owner: Owner) -> Iterator[str]:
    if "h" in parts:
        yield f"each value of {per.partition(':')[2]}"
    elif "a" in parts:
        yield "each client address"
    if "k" in parts:
        yield f"key {owner.key} of {owner.tenant}" if owner.key else f"each key of {owner.tenant}"
    elif "t" in parts:
        yield f"all keys of {owner.tenant} together"
    elif "p" in parts:
        yield f"all callers on plan {owner.plan} together"
    elif "h" not in parts and "a" not in parts:
        yield "everybody together"


def _known_saying(told: dict[str, Any]) -> Saying:
    return Saying(**{one.name: told[one.name] for one in fields(Saying)})


def _why(level: Level, lower: Iterable[Saying]) -> str:
    levels = list(dict.fromkeys(one.level for one in lower))
    if not levels:
        return "nothing else is said under this name"
    return f"what is said {_SAID_FOR[level]} goes before what is said {_joined(levels)}"


def _joined(levels: Iterable[str]) -> str:
    return " and ".join(_SAID_FOR[Level(level)] for level in levels)


_SAID_FOR: Final = {
    Level.EVERYBODY: "for everybody",
    Level.ROUTE: "on a route",
    Level.PLAN: "by a plan",
    Level.PLAN_ON_ROUTE: "by a plan on a route",
    Level.TENANT: "for a tenant",
    Level.KEY: "for a key",
}


def _why_idle(limit: Limit, whose: Whose, units: Sequence[str]) -> str:
    """Say why what holds limits nothing here; empty where it does."""
    if limit.unit not in units:
        return f"this route costs no {limit.unit}"
    if limit.per in NEED_CALLER and not whose.is_known:
        return "this route has auth: none, so that no key or tenant is known"
    return ""


def _saying(config: Config, said: Said, whose: Whose, owner: Owner) -> Saying:
    level = said.level
    names = {
        Level.EVERYBODY: (),
        Level.ROUTE: (whose.route,),
        Level.PLAN: (owner.plan,),
        Level.PLAN_ON_ROUTE: (owner.plan, whose.route),
        Level.TENANT: (owner.tenant,),
        Level.KEY: (owner.tenant, owner.key),
    }[level]
    by = {
        Level.EVERYBODY: "limits, for everybody",
        Level.ROUTE: f"route {whose.route}",
        Level.PLAN: f"plan {owner.plan}",
        Level.PLAN_ON_ROUTE: f"plan {owner.plan} on route {whose.route}",
        Level.TENANT: f"tenant {owner.tenant}",
        Level.KEY: f"key {owner.key} of {owner.tenant}",
    }[level]
    return Saying(allows(said.entry), level.value, by, _place(config, level, names, said))


def _place(config: Config, level: Level, names: tuple[str, ...], said: Said) -> str:
    """Where an object is the API's, so is what it says."""
    kind = _OWNER.get(level)
    name = "/".join(names) if level is Level.KEY else "".join(names[:1])
    if kind is not None and (kind, name) not in config.places.marks:
        return API
    return config.places.of("limit", f"{limit_place(level.value, *names)}/{said.entry.name}")
