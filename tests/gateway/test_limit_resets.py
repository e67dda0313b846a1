"""What is counted over all tenants is filled again: by address, route, header and all together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tidegate.config import Config
from tidegate.gateway.limit_resets import CountedInTenants, reset_shared
from tidegate.gateway.limits_explained import UnknownRoute
from tidegate.testing import Kit, ScriptedUpstream

WINDOW = {"algorithm": "sliding-window"}


def bucket(name: str, per: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "rate": "1/h", "burst": 9, "per": per} | fields


@pytest.fixture
async def kit(tidegate_kit: Callable[..., Awaitable[Kit]]) -> AsyncIterator[Kit]:
    """A gateway whose limits count over all tenants, but `mine`. The tenant `g` is called as what
    all requests spend from is in the store."""
    async with ScriptedUpstream() as upstream:
        config = {
            "version": 1,
            "limits": [bucket("all", "global"), bucket("home", "address")],
            "plans": {
                "pro": {
                    "limits": [
                        bucket("pro_all", "global"),
                        bucket("pro_home", "address"),
                        bucket("mine", "key"),
                    ],
                    "routes": {"a": {"limits": [bucket("pro_a", "route")]}},
                }
            },
            "tenants": [{"name": "g", "plan": "pro", "keys": [{"name": "k", "value": "g_key"}]}],
            "services": [
                {
                    "name": "test",
                    "targets": [upstream.url],
                    "routes": [
                        {
                            "name": "a",
                            "paths": ["/a"],
                            "limits": [
                                bucket("a", "route"),
                                {"name": "a_all", "rate": "9/h", "per": "global"} | WINDOW,
                                bucket("a_home", "address"),
                            ],
                        },
                        {
                            "name": "b",
                            "paths": ["/b"],
                            "auth": [],
                            "limits": [bucket("user", "header:x-user", burst=1)],
                        },
                    ],
                }
            ],
        }
        yield await tidegate_kit(config=Config.model_validate(config))


async def spent(kit: Kit, client: str = "203.0.113.9") -> set[str]:
    """Make one request and return the limits that have more behind them than this one."""
    answer = await kit.get("/a", key="g_key", client=client)
    assert answer.status == 200
    told = (answer.header("ratelimit") or "").split(", ")
    left = {one.split(";")[0].strip('"'): one.split(";")[1] for one in told}
    assert len(left) == 9
    return {name for name, remaining in left.items() if remaining != "r=8"}


async def reset(kit: Kit, per: str, value: str = "") -> int:
    return await reset_shared(kit.gateway.parts.limiter, kit.gateway.config, per, value)


ALL = {"all", "home", "pro_all", "pro_home", "mine", "pro_a", "a", "a_all", "a_home"}


@pytest.mark.parametrize(
    "per, value, filled, states",
    [
        ("address", "203.0.113.9", {"home", "pro_home", "a_home"}, 3),
        ("address", "::ffff:203.0.113.9", {"home", "pro_home", "a_home"}, 3),
        ("address", "203.0.113.99", set(), 0),
        ("route", "a", {"a", "a_all", "pro_a"}, 3),
        ("route", "b", set(), 0),
        ("global", "", {"all", "pro_all"}, 2),
    ],
)
async def test_a_reset_fills_what_is_counted_so_and_nothing_else(
    kit: Kit, per: str, value: str, filled: set[str], states: int
) -> None:
    assert await spent(kit) == set()
    assert await reset(kit, per, value) == states
    assert await spent(kit) == ALL - filled


async def test_a_tenant_s_reset_leaves_what_is_counted_over_all(kit: Kit) -> None:
    await spent(kit)
    assert await kit.gateway.parts.limiter.reset("g") == 1
    assert await spent(kit) == ALL - {"mine"}


async def test_an_ipv6_address_means_its_64(kit: Kit) -> None:
    await spent(kit, "2001:db8::1")
    await spent(kit, "2001:db8:0:1::1")
    assert await reset(kit, "address", "2001:db8::2") == 3
    assert await spent(kit, "2001:db8::3") == ALL - {"home", "pro_home", "a_home"}
    assert await spent(kit, "2001:db8:0:1::3") == ALL


async def test_a_refused_address_is_admitted_within_a_second_of_the_reset(kit: Kit) -> None:
    """Its refusal stands so long: the store is not asked meanwhile."""
    asked = {"client": "192.0.2.1", "key": "g_key"}
    statuses = [(await kit.get("/a", **asked)).status for _ in range(10)]
    assert statuses == [200] * 9 + [429]
    for per, value in (("address", "192.0.2.1"), ("route", "a"), ("global", "")):
        await reset(kit, per, value)
    await kit.gateway.parts.limiter.reset("g")
    async with asyncio.timeout(1.5):
        while (await kit.get("/a", **asked)).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("value", ["ada", "a" * 100, "ädä"])
async def test_a_header_s_value_is_reset_where_no_key_is_asked_for(kit: Kit, value: str) -> None:
    async def asked(user: str) -> int:
        headers = {"x-user": user}
        return (await kit.get("/b", key=None, headers=headers, client="192.0.2.1")).status

    assert [await asked(value), await asked("bob")] == [200, 200]
    assert await reset(kit, "header:X-User", value) == 1
    assert await reset(kit, "header:X-User", value) == 0
    assert [await asked(value), await asked("bob")] == [200, 429]


async def test_what_is_no_address_or_no_route_is_told(kit: Kit) -> None:
    with pytest.raises(ValueError, match="write an address, such as 203"):
        await reset(kit, "address", "203.0.113.0/24")
    with pytest.raises(UnknownRoute, match="no route c: the routes are a, b"):
        await reset(kit, "route", "c")
    with pytest.raises(CountedInTenants, match="No limit by X-Team applies on a route without"):
        await reset(kit, "header:X-Team", "blue")


async def test_a_route_that_only_an_application_s_code_names_is_reset(kit: Kit) -> None:
    await kit.gateway.store.execute("SET", "tg:limits:{r:of_the_app}", "x")
    assert await reset(kit, "route", "of_the_app") == 1
