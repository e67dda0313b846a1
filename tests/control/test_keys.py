import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.control.conftest import Client
from tidegate.config import Config
from tidegate.http.errors import Unauthorized
from tidegate.identity import KeyResolver
from tidegate.store import Store

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
async def resolver(
    config: Config, store: Store, eventually: Eventually
) -> AsyncIterator[KeyResolver]:
    """As a worker has it."""
    resolver = KeyResolver(config, store)
    await eventually(lambda: store.tracking.is_live)
    yield resolver
    resolver.close()


async def opens(resolver: KeyResolver, key: str) -> bool:
    try:
        await resolver.resolve(key.encode())
    except Unauthorized:
        return False
    return True


async def ends(resolver: KeyResolver, key: str) -> None:
    """Within the second that is promised."""
    async with asyncio.timeout(1.0):
        while await opens(resolver, key):  # noqa: ASYNC110 the store sets no event
            await asyncio.sleep(0.005)


async def created(admin: Client, name: str = "ci", tenant: str = "demo") -> dict[str, object]:
    answer = await admin.post("/v1/keys", json={"tenant": tenant, "name": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


async def test_a_key_is_shown_once_and_works_at_once(admin: Client, resolver: KeyResolver) -> None:
    answer = await admin.post("/v1/keys", json={"tenant": "demo", "name": "ci"})
    made = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"/v1/keys/{made['id']}"
    assert made["durable"] is True
    assert await opens(resolver, made["key"])
    shown = (await admin.get(answer.headers["location"])).json()
    assert shown == {k: v for k, v in made.items() if k not in ("key", "durable")}
    assert made["key"] not in (await admin.get("/v1/keys")).text


async def test_a_name_is_taken_once_and_a_tenant_must_exist(admin: Client) -> None:
    await created(admin)
    again = await admin.post("/v1/keys", json={"tenant": "demo", "name": "ci"})
    of_file = await admin.post("/v1/keys", json={"tenant": "demo", "name": "user_1"})
    nobody = await admin.post("/v1/keys", json={"tenant": "nobody", "name": "ci"})
    assert [a.status_code for a in (again, of_file, nobody)] == [409, 409, 404]


async def test_pages_hold_every_key_once(admin: Client) -> None:
    await asyncio.gather(*(created(admin, f"k{n}") for n in range(7)))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await admin.get("/v1/keys", params={"limit": 3, "cursor": cursor})).json()
        assert len(page["items"]) <= 3
        seen += [key["name"] for key in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [*(f"k{n}" for n in range(7)), "user_1"]
    only = (await admin.get("/v1/keys", params={"tenant": "nobody"})).json()
    assert only == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("cursor", ["AA", "_____w", "eno", "A" * 256])
async def test_a_cursor_that_nobody_was_given_leads_nowhere_bad(admin: Client, cursor: str) -> None:
    answer = await admin.get("/v1/keys", params={"cursor": cursor})
    assert answer.status_code == 200


async def test_old_and_new_secret_work_until_the_overlap_ends(
    admin: Client, resolver: KeyResolver
) -> None:
    made = await created(admin)
    first = str(made["key"])
    answer = await admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 1})
    started_at = asyncio.get_running_loop().time()
    second = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (second["id"], second["name"]) == (made["id"], "ci")
    assert 1 <= second["older_secrets_end_at"] - second["rotated_at"] <= 2
    assert await opens(resolver, first)
    while await opens(resolver, first):
        assert asyncio.get_running_loop().time() - started_at < 2.0
        await asyncio.sleep(0.01)
    assert await opens(resolver, second["key"])


async def test_a_rotation_without_overlap_ends_the_old_secret(
    admin: Client, resolver: KeyResolver
) -> None:
    made = await created(admin)
    first = str(made["key"])
    await opens(resolver, first)
    answer = await admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 0})
    await ends(resolver, first)
    assert await opens(resolver, answer.json()["key"])


async def test_an_overlap_is_said_and_bounded(admin: Client) -> None:
    made = await created(admin)
    for body in ({}, {"overlap_s": -1}, {"overlap_s": 2_592_001}, {"overlap_s": "60"}):
        answer = await admin.post(f"/v1/keys/{made['id']}/rotate", json=body)
        assert answer.status_code == 422, body
    for _ in range(4):
        answer = await admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 60})
        assert answer.status_code == 200
    too_many = await admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 60})
    assert too_many.status_code == 409


async def test_a_renamed_key_stays_itself(admin: Client, resolver: KeyResolver) -> None:
    made = await created(admin)
    await created(admin, "other")
    renamed = await admin.patch(f"/v1/keys/{made['id']}", json={"name": "laptop"})
    assert renamed.json()["name"] == "laptop"
    assert (await resolver.resolve(str(made["key"]).encode())).key_id == made["id"]
    taken = await admin.patch(f"/v1/keys/{made['id']}", json={"name": "other"})
    assert taken.status_code == 409


async def test_a_revoked_key_stops_within_a_second_and_is_gone(
    admin: Client, resolver: KeyResolver
) -> None:
    made = await created(admin)
    await opens(resolver, str(made["key"]))
    revoked = await admin.delete(f"/v1/keys/{made['id']}")
    assert revoked.json() == {"id": made["id"], "tenant": "demo", "name": "ci", "durable": True}
    await ends(resolver, str(made["key"]))
    for request in (
        admin.delete(f"/v1/keys/{made['id']}"),
        admin.get(f"/v1/keys/{made['id']}"),
        admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 0}),
    ):
        assert (await request).status_code == 404


async def test_a_key_of_the_file_is_read_only(admin: Client) -> None:
    (key,) = (await admin.get("/v1/keys")).json()["items"]
    assert (key["origin"], key["created_at"]) == ("file", None)
    assert key["defined_in"].endswith("gate.yaml:5")
    path = f"/v1/keys/{key['id']}"
    for request in (
        admin.delete(path),
        admin.patch(path, json={"name": "x"}),
        admin.post(f"{path}/rotate", json={"overlap_s": 0}),
    ):
        answer = await request
        assert answer.status_code == 409
        assert answer.json()["origin"] == "file"
        assert answer.json()["defined_in"] == key["defined_in"]
