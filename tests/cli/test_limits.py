"""`tidegate limits reset`, by the admin API and straight on the store."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.config import Redis, load
from tidegate.identity import KeyResolver
from tidegate.policies.scopes import shared_state
from tidegate.rate_limiter import Limiter, caller_counters
from tidegate.store import open_store


async def spend(config: Path, data_dir: Path, key: str) -> int:
    """Spend until refused; return how often it was admitted."""
    loaded = load(config)
    store = await open_store(Redis(timeout=5.0), data_dir)
    try:
        caller = await KeyResolver(loaded, store).resolve(key.encode())
        limiter = Limiter(store)
        subject = limiter.subject(caller_counters(caller.tenant, caller.key_id, caller.own.plan))
        admitted = 0
        while limiter.decision(subject, (1,), await limiter.ask(subject, (1,))).allowed:
            admitted += 1
        return admitted
    finally:
        await store.aclose()


def test_a_reset_tenant_has_its_whole_burst_again(operated: Any) -> None:
    def spent() -> int:
        return asyncio.run(spend(operated.config, operated.data_dir, operated.tenant))

    assert spent() >= 10
    assert spent() <= 2
    done = operated.run("limits", "reset", "--tenant", operated.tenant, "--json")
    assert done.json == {"tenant": operated.tenant, "key": None, "states": 1}
    assert spent() >= 10
    named = operated.run("limits", "reset", "-t", operated.tenant, "--name", "in_file", "--json")
    assert named.json == {"tenant": operated.tenant, "key": "in_file", "states": 1}
    assert spent() >= 10
    done = operated.run("limits", "reset", "-t", operated.tenant, "--key", "in_file")
    assert done.out == (
        f"Reset the limits of key in_file of {operated.tenant}: "
        "what it spends from alone is full again.\n"
    )
    assert spent() >= 10
    done = operated.run("limits", "reset", "-t", operated.tenant)
    assert done.out == (
        f"Reset the limits of tenant {operated.tenant}: all buckets and quotas are full again.\n"
    )
    done = operated.run("limits", "reset", "-t", operated.tenant)
    assert done.out == f"The limits of tenant {operated.tenant} are full already.\n"


def test_an_unknown_tenant_or_key_is_an_error(operated: Any) -> None:
    unknown = operated.run("limits", "reset", "--tenant", "nobody")
    assert unknown.code == 1
    assert unknown.err.startswith("Error: There is no tenant nobody: there ")
    unknown = operated.run("limits", "reset", "--tenant", operated.tenant, "--key", "none")
    assert unknown.code == 1
    assert "has no key none: see `tidegate keys list`" in unknown.err


async def count(data_dir: Path, *states: bytes) -> None:
    """Have something spent in states outside of all tenants."""
    store = await open_store(Redis(timeout=5.0), data_dir)
    try:
        for state in states:
            await store.execute("SET", state, "spent", "EX", 60)
    finally:
        await store.aclose()


@pytest.mark.parametrize(
    "per, value, arguments, told, words",
    [
        (
            "address",
            b"203.0.113.9",
            ("--address", "203.0.113.9"),
            {"address": "203.0.113.9"},
            ("address 203.0.113.9", "what it spends from over all tenants"),
        ),
        (
            "address",
            b"2001:db8::/64",
            ("--address", "2001:db8::7"),
            {"address": "2001:db8::/64"},
            ("address 2001:db8::/64", "what it spends from over all tenants"),
        ),
        (
            "route",
            b"api",
            ("--route", "api"),
            {"route": "api"},
            ("route api", "what all requests on it spend from together"),
        ),
        (
            "global",
            b"",
            ("--global",),
            {"global": True},
            ("everybody", "what all requests spend from together"),
        ),
        (
            "header:x-user",
            b"ada",
            ("--header", "X-User: ada"),
            {"header": "X-User"},
            ("that value of X-User", "what it spends from without a key"),
        ),
    ],
)
def test_what_is_counted_over_all_tenants_is_reset(
    operated: Any,
    per: str,
    value: bytes,
    arguments: tuple[str, ...],
    told: dict[str, Any],
    words: tuple[str, str],
) -> None:
    state = shared_state(per, value)
    whose, what = words
    asyncio.run(count(operated.data_dir, state, state + b":p:small"))
    done = operated.run("limits", "reset", *arguments, "--json")
    assert done.json == {**told, "states": 2}
    asyncio.run(count(operated.data_dir, state))
    done = operated.run("limits", "reset", *arguments)
    assert done.out == f"Reset the limits of {whose}: {what} is full again.\n"
    done = operated.run("limits", "reset", *arguments)
    if per.startswith("header:"):
        # Of the file's routes without keys, none limits by it.
        assert done.code == 1
        assert done.err.startswith("Error: No limit by X-User applies on a route without keys: ")
        assert "reset the tenant (--tenant" in done.err
    else:
        assert done.out == f"The limits of {whose} are full already.\n"


def test_a_route_that_there_is_not_is_an_error(operated: Any) -> None:
    unknown = operated.run("limits", "reset", "--route", "nope")
    assert unknown.code == 1
    assert unknown.err == "Error: There is no route nope: the routes are open, api\n"


@pytest.mark.parametrize(
    "arguments, why",
    [
        ((), "it is one of --tenant, --address"),
        (("--tenant", "acme", "--global"), "it is one of --tenant, --address"),
        (("--address", "203.0.113.9", "--route", "api"), "it is one of --tenant, --address"),
        (("--route", "api", "--key", "ci"), "say --tenant"),
        (("--key", "ci"), "a key is its tenant's: say --tenant TENANT"),
        (("--name", "ci"), "a key is its tenant's: say --tenant TENANT"),
        (("--address", "203.0.113.0/24"), "write an address, such as 203.0.113.9"),
        (("--route", "no name"), "The name of a route is 1 to 64 letters"),
        (("--header", "X-User"), "'NAME: VALUE'"),
        (("--header", "X-*: a"), "'NAME: VALUE'"),
        (("--header", "X-User: \udcff"), "'NAME: VALUE'"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anybody_is_asked(
    run: Callable[..., Any], arguments: tuple[str, ...], why: str
) -> None:
    refused = run("limits", "reset", *arguments)
    assert refused.code != 0
    assert why in " ".join(refused.err.replace("\u2502", " ").split())
