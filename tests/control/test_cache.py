"""A purge reaches a gateway that holds the answer, wherever the purge was asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.control.conftest import TOKEN, Client, MakeApplication, client_of
from tidegate.store import Store
from tidegate.testing import Kit, open_kit

ROUTE = {"cache": {"enabled": True, "default_ttl": 60.0}}


@pytest.fixture
async def kit(store: Store) -> AsyncIterator[Kit]:
    async with open_kit(store, route=ROUTE) as kit:
        yield kit


@pytest.fixture
async def admin(kit: Kit, make_application: MakeApplication) -> AsyncIterator[Client]:
    app = make_application(kit.gateway.config)
    async with (
        app.router.lifespan_context(app),
        client_of(app, authorization=f"Bearer {TOKEN}") as client,
    ):
        yield client


async def cached(kit: Kit, target: str) -> bool:
    answer = await kit.get(target)
    assert answer.status == 200
    return answer.header("x-cache") == "HIT"


async def until(claim: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(2.0):
        while not await claim():  # noqa: ASYNC110 the store sets no event
            await asyncio.sleep(0.01)


async def until_forgotten(kit: Kit, target: str) -> None:
    async def is_forgotten() -> bool:
        return not await cached(kit, target)

    await until(is_forgotten)


async def hold(kit: Kit, *targets: str) -> None:
    for target in targets:
        await until(lambda target=target: cached(kit, target))  # type: ignore[misc]


async def test_a_purged_url_is_fetched_again_and_no_other(kit: Kit, admin: Client) -> None:
    await hold(kit, "/api/a?x=1", "/api/b")
    answer = await admin.post("/v1/cache/purge", json={"urls": ["http://gateway.test/api/a?x=1"]})
    assert answer.json() == {"purged": "urls"}
    await until_forgotten(kit, "/api/a?x=1")
    assert await cached(kit, "/api/b")


@pytest.mark.parametrize("what", [{"tenant": "acme"}, {"all": True}])
async def test_a_purge_of_a_tenant_or_of_all_forgets_everything_of_it(
    kit: Kit, admin: Client, what: dict[str, object]
) -> None:
    await hold(kit, "/api/a", "/api/b")
    assert (await admin.post("/v1/cache/purge", json=what)).status_code == 200
    for target in ("/api/a", "/api/b"):
        await until_forgotten(kit, target)


async def test_a_purge_of_another_tenant_forgets_nothing(kit: Kit, admin: Client) -> None:
    await hold(kit, "/api/a")
    await admin.post("/v1/cache/purge", json={"tenant": "other"})
    assert await cached(kit, "/api/a")


async def test_a_purge_says_one_thing_that_a_route_takes(kit: Kit, admin: Client) -> None:
    for body, status in (
        ({"urls": ["http://gateway.test/nowhere"]}, 404),
        ({"urls": ["/api/a"]}, 422),
        ({"urls": []}, 422),
        ({"all": False}, 422),
        ({}, 422),
        ({"tenant": "acme", "all": True}, 422),
    ):
        answer = await admin.post("/v1/cache/purge", json=body)
        assert answer.status_code == status, body


async def test_where_no_route_caches_a_purge_still_works(
    make_application: MakeApplication,
) -> None:
    app = make_application()
    async with (
        app.router.lifespan_context(app),
        client_of(app, authorization=f"Bearer {TOKEN}") as client,
    ):
        assert (await client.post("/v1/cache/purge", json={"all": True})).status_code == 200


async def test_a_purge_that_cannot_be_says_what_to_change(
    kit: Kit, make_application: MakeApplication, store: Store
) -> None:
    await store.execute("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    try:
        app = make_application(kit.gateway.config)
        async with (
            app.router.lifespan_context(app),
            client_of(app, authorization=f"Bearer {TOKEN}") as admin,
        ):
            answer = await admin.post("/v1/cache/purge", json={"all": True})
    finally:
        await store.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert answer.status_code == 503
    assert "Set maxmemory-policy to noeviction" in answer.json()["detail"]
