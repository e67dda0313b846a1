"""Precedence: of the limits of one name the one that was said highest holds, whole."""

from typing import Any, NamedTuple

import pytest
from pydantic import TypeAdapter

from tidegate.config import Route
from tidegate.config.limits import CheckedEntry, LimitEntry
from tidegate.config.precedence import (
    NOBODY,
    Level,
    OwnLimits,
    applied,
    choices,
)

ENTRIES: TypeAdapter[tuple[LimitEntry, ...]] = TypeAdapter(tuple[CheckedEntry, ...])
LEVELS = [level.value for level in Level]


def said(name: str = "steady", count: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "rate": None if count is None else f"{count}/s", **more}


class Case(NamedTuple):
    name: str
    levels: dict[str, list[dict[str, Any]]]
    expected: list[tuple[str, str]]
    """What applies, as `name rate` with its level."""


CASES = [
    Case("nothing is said", {}, []),
    *(
        Case(f"only {level}", {level: [said(count=3)]}, [("steady 3/second", level)])
        for level in LEVELS
    ),
    *(
        Case(
            f"{higher} over {lower}",
            {lower: [said(count=1)], higher: [said(count=2)]},
            [("steady 2/second", higher)],
        )
        for index, lower in enumerate(LEVELS)
        for higher in LEVELS[index + 1 :]
    ),
    *(
        Case(f"{higher} takes {lower} away", {lower: [said()], higher: [said(count=None)]}, [])
        for index, lower in enumerate(LEVELS)
        for higher in LEVELS[index + 1 :]
    ),
    Case(
        "all six at once",
        {level: [said(count=number)] for number, level in enumerate(LEVELS, 1)},
        [("steady 6/second", "key")],
    ),
    Case(
        "a higher limit can be the looser one",
        {"everybody": [said(count=1)], "key": [said(count=100)]},
        [("steady 100/second", "key")],
    ),
    Case(
        "what was taken away can be said again",
        {"route": [said()], "plan": [said(count=None)], "tenant": [said(count=7)]},
        [("steady 7/second", "tenant")],
    ),
    Case(
        "other names stay, in the order in which they were first said",
        {
            "everybody": [said("all", 1000)],
            "plan": [said("steady", 5), said("search", 1)],
            "tenant": [said("steady", 50), said("own", 9)],
        },
        [
            ("all 1000/second", "everybody"),
            ("steady 50/second", "tenant"),
            ("search 1/second", "plan"),
            ("own 9/second", "tenant"),
        ],
    ),
    Case(
        "another kind of the same name takes the place as well",
        {"plan": [{"name": "daily", "quota": "10/day"}], "tenant": [said("daily", 2)]},
        [("daily 2/second", "tenant")],
    ),
    Case(
        "a null of another kind takes away as well",
        {"plan": [said("daily")], "tenant": [{"name": "daily", "quota": None}]},
        [],
    ),
]


def told(levels: dict[str, list[dict[str, Any]]]) -> tuple[Any, Route, OwnLimits]:
    entries = {level: ENTRIES.validate_python(levels.get(level, [])) for level in LEVELS}
    on_route = {"search": entries["plan on route"]} if "plan on route" in levels else {}
    own = OwnLimits(entries["plan"], on_route, entries["tenant"], entries["key"])
    return entries["everybody"], Route(name="search", limits=entries["route"]), own


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_highest_of_a_name_holds(case: Case) -> None:
    found = applied(*told(case.levels))
    assert [
        (f"{limit.name} {getattr(limit, 'rate', '')}", level.value) for limit, level in found
    ] == case.expected


def test_it_is_replaced_whole() -> None:
    """Half of one limit and half of another is nobody's intention."""
    (one,) = applied(*told({"plan": [said(burst=50, per="tenant")], "key": [said(count=2)]}))
    assert (one.limit.per, getattr(one.limit, "burst", None)) == ("key", 2)


def test_every_place_that_said_something_is_told() -> None:
    levels = {"route": [said()], "plan": [said(count=None)], "key": [said(count=2)]}
    (choice,) = choices(*told(levels))
    assert [(one.level.value, one.removes) for one in choice.said] == [
        ("route", False),
        ("plan", True),
        ("key", False),
    ]
    assert choice.holds.level is Level.KEY


def test_what_a_plan_says_of_another_route_does_not_apply() -> None:
    everybody, _, own = told({"plan": [said(count=5)], "plan on route": [said(count=1)]})
    (one,) = applied(everybody, Route(name="orders"), own)
    assert one.level is Level.PLAN


def test_without_a_caller_only_everybody_and_the_route_speak() -> None:
    everybody, route, _ = told({level: [said(level.replace(" ", "-"))] for level in LEVELS})
    levels = [one.level for one in applied(everybody, route, NOBODY)]
    assert levels == [Level.EVERYBODY, Level.ROUTE]
