"""What a stranger gets, and what no answer may say."""

import asyncio
import hmac

import pytest
from fastapi import FastAPI

from tests.control.conftest import TOKEN, Client, MakeApplication, client_of
from tidegate.config import Config

BEARER = {"authorization": f"Bearer {TOKEN}"}


async def test_no_operation_but_the_open_ones_answers_without_the_token(
    app: FastAPI, stranger: Client
) -> None:
    document = app.openapi()
    asked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answer = await stranger.request(method, path.replace("{", "").replace("}", ""))
            if path in ("/health", "/metrics"):
                assert answer.status_code == 200
                assert "security" not in operation
                continue
            asked += 1
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            assert operation["security"]
    assert asked > 20


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
    ],
)
async def test_only_the_token_opens(stranger: Client, value: str) -> None:
    answer = await stranger.get("/v1/keys", headers={"authorization": value})
    assert answer.status_code == 401
    assert TOKEN not in answer.text


async def test_two_tokens_are_none(stranger: Client) -> None:
    headers = [("authorization", f"Bearer {TOKEN}")] * 2
    assert (await stranger.get("/v1/keys", headers=headers)).status_code == 401


async def test_the_token_is_compared_in_constant_time(
    stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: bool(compared.append(pair)))
    assert (await stranger.get("/v1/keys", headers=BEARER)).status_code == 401
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


async def test_a_stranger_cannot_tell_a_path_that_exists(stranger: Client) -> None:
    for method, path in (("GET", "/nope"), ("POST", "/v1/tenants"), ("PUT", "/v1/plans/-")):
        assert (await stranger.request(method, path)).status_code == 401


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8001", "127.0.0.1:8001", "10.1.2.3", "[::1]:8001"]
)
async def test_local_names_and_addresses_are_answered(stranger: Client, host: str) -> None:
    assert (await stranger.get("/health", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8001", "2130706433"]
)
async def test_another_name_is_refused_even_with_the_token(stranger: Client, host: str) -> None:
    for path in ("/health", "/metrics", "/docs", "/v1/keys"):
        answer = await stranger.get(path, headers={"host": host, **BEARER})
        assert answer.status_code == 421, path


async def test_a_host_that_is_none_is_refused(stranger: Client) -> None:
    for host in ("a b", "", "evil.example@localhost"):
        assert (await stranger.get("/health", headers={"host": host})).status_code == 400


async def test_a_name_that_is_configured_is_answered_and_metrics_then_need_the_token(
    make_application: MakeApplication, config: Config
) -> None:
    listen = config.admin.model_copy(update={"host": "0.0.0.0", "hosts": ("gate.internal",)})
    app = make_application(config.model_copy(update={"admin": listen}))
    async with app.router.lifespan_context(app), client_of(app) as client:
        host = {"host": "gate.internal:8001"}
        assert (await client.get("/health", headers=host)).status_code == 200
        assert (await client.get("/metrics", headers=host)).status_code == 401
        assert (await client.get("/metrics", headers={**host, **BEARER})).status_code == 200


async def test_a_body_is_bounded_whether_or_not_its_length_is_said(admin: Client) -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        for _ in range(9):
            yield b" " * 8192

    said = await admin.put("/v1/tenants/a", content=b" " * 65_537)
    unsaid = await admin.put("/v1/tenants/a", content=pieces())
    for answer in (said, unsaid):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    within = await admin.put(
        "/v1/tenants/a",
        content=b'{"plan":"free"' + b" " * 65_000 + b"}",
        headers={"content-type": "application/json"},
    )
    assert within.status_code == 201


async def test_a_body_that_does_not_come_ends_in_408(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.control.guard.BODY_WAIT_S", 0.05)

    async def never():  # type: ignore[no-untyped-def]
        yield b"{"
        await asyncio.Event().wait()

    assert (await admin.put("/v1/tenants/a", content=never())).status_code == 408


async def test_nothing_may_be_kept_framed_or_shared_with_other_origins(
    stranger: Client, admin: Client
) -> None:
    for client, path in (
        (stranger, "/v1/keys"),
        (admin, "/v1/keys"),
        (admin, "/nope"),
        (stranger, "/health"),
        (stranger, "/docs"),
    ):
        answer = await client.get(path, headers={"origin": "https://evil.example"})
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_docs_page_runs_only_what_it_names_by_hash(stranger: Client) -> None:
    page = await stranger.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert page.text.count('integrity="sha384-') == 2


async def test_the_bare_address_leads_to_the_docs_without_a_token(stranger: Client) -> None:
    answer = await stranger.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
