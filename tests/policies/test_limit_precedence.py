"""Every way in which six levels can speak of one limit: what is enforced is what is explained."""

import asyncio
import itertools
from typing import Any

import pytest
from pydantic import TypeAdapter

from tidegate.config import Config
from tidegate.config.limits import CheckedEntry
from tidegate.gateway import limits_of_key
from tidegate.identity import Repository
from tidegate.testing import Kit, ScriptedUpstream

ENTRIES: Any = TypeAdapter(tuple[CheckedEntry, ...])
BURSTS = {"everybody": 1, "route": 2, "plan": 3, "plan on route": 4, "tenant": 5, "key": 6}
MOST = 7
"""Requests that tell each burst from every other, and from none."""
SILENT, SAYS, REMOVES = "silent", "says", "removes"
API_LEVELS = ("plan", "plan on route", "tenant", "key")
CASES = list(itertools.product((SILENT, SAYS, REMOVES), repeat=len(API_LEVELS)))


def said(level: str, how: str) -> Any:
    if how == SILENT:
        return ()
    rate = "1/h" if how == SAYS else None
    entry = {"name": "x", "rate": rate} | ({"burst": BURSTS[level]} if rate else {})
    return ENTRIES.validate_python([entry])


def expected(spoken: dict[str, str]) -> int | None:
    """The burst of the highest level that is not silent; none where it takes away."""
    loud = [level for level in BURSTS if spoken[level] != SILENT]
    return BURSTS[loud[-1]] if loud and spoken[loud[-1]] == SAYS else None


def config_of(everybody: str, upstream: str) -> Config:
    routes = [
        {"name": name, "paths": [f"/{name}"], "limits": said("route", how)}
        for name, how in (("silent", SILENT), ("says", SAYS), ("removes", REMOVES))
    ]
    return Config.model_validate(
        {
            "version": 1,
            "limits": said("everybody", everybody),
            "services": [{"name": "test", "targets": [upstream], "routes": routes}],
        }
    )


async def key_of(repository: Repository, number: int, case: tuple[str, ...]) -> str:
    limits = {level: said(level, how) for level, how in zip(API_LEVELS, case, strict=True)}
    on_route = limits["plan on route"]
    routes = dict.fromkeys(("silent", "says", "removes"), on_route) if on_route else {}
    name = f"n{number}"
    await repository.plans.put(name, limits["plan"], routes=routes)
    await repository.tenants.put(name, name, limits=limits["tenant"])
    return (await repository.create_key(name, "ci", limits=limits["key"])).key


async def admitted(kit: Kit, path: str, key: str) -> int | None:
    """How many of MOST in a row were; None: all."""
    for count in range(MOST):
        answer = await kit.get(path, key=key)
        if answer.status == 429:
            return count
        assert answer.status == 200
    return None


@pytest.mark.parametrize("everybody", [SILENT, SAYS])
@pytest.mark.parametrize("route", [SILENT, SAYS, REMOVES])
async def test_the_highest_level_holds_and_explain_says_so(
    tidegate_kit: Any, everybody: str, route: str
) -> None:
    """Pain point 19: limits by tier, consumer and route that are hard to express."""
    async with ScriptedUpstream() as upstream:
        kit: Kit = await tidegate_kit(config=config_of(everybody, upstream.url))
        repository = Repository(kit.gateway.config, kit.gateway.store)
        keys = await asyncio.gather(
            *(key_of(repository, number, case) for number, case in enumerate(CASES))
        )
        for case, key in zip(CASES, keys, strict=True):
            spoken = {"everybody": everybody, "route": route}
            spoken |= dict(zip(API_LEVELS, case, strict=True))
            burst = expected(spoken)
            told = await limits_of_key(kit.gateway, key, route)
            rules = [rule for rule in told.routes[0].limits if rule.applies]
            assert [rule.holds.allows for rule in rules] == (
                [] if burst is None else [f"1/hour, burst {burst}"]
            ), spoken
            assert await admitted(kit, f"/{route}", key) == burst, spoken
