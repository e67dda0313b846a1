"""Every error is a problem, and none of them says too much."""

import pytest
from fastapi import FastAPI

from tests.control.conftest import Client
from tidegate.http.errors import StoreUnavailable
from tidegate.store import CommandFailed


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nope", None, 404),
        ("GET", "/v1/tenants/", None, 404),
        ("POST", "/v1/tenants", None, 405),
        ("PUT", "/v1/tenants/a", b"{", 422),
        ("PUT", "/v1/tenants/a", b'{"plan": "free", "more": 1}', 422),
        ("PUT", "/v1/tenants/a", b'{"plan": 5}', 422),
        ("PUT", "/v1/tenants/a", b'{"plan": "\\ud800"}', 422),
        ("PUT", "/v1/tenants/a", b'{"plan": "free", "\\ud800": 1}', 422),
        ("PUT", "/v1/tenants/a", b"[" * 10_000, 422),
        ("PUT", "/v1/tenants/a", b"\xff\xfe", 422),
        ("PUT", "/v1/tenants/%2e%2e", b'{"plan": "free"}', 422),
        ("GET", "/v1/keys?limit=0", None, 422),
        ("GET", "/v1/keys?cursor=*", None, 422),
    ],
)
async def test_what_the_framework_refuses_is_a_problem(
    admin: Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    headers = {"content-type": "application/json"} if body else {}
    answer = await admin.request(method, path, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:tidegate:problem:")
    assert problem["source"] == "gateway"


NO_KIND = "a limit is an object with `rate`, `quota` or `concurrency`, or `removes`"


async def test_allow_names_every_method_of_the_path(admin: Client) -> None:
    answer = await admin.post("/v1/tenants/demo")
    assert answer.headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize(
    ("limit", "place", "message"),
    [
        ({"name": "a", "rate": "fast"}, ".rate", "write a count and a period, such as 5/s"),
        ({"name": "a", "quota": 5}, ".quota", "write a count and a period, such as 5/s"),
        ({"name": "a", "rate": "5/s", "quota": "5/s"}, ".quota", "a limit is a rate, a quota or a"),
        (
            {"name": "a"},
            "",
            NO_KIND,
        ),
        ("5/s", "", NO_KIND),
    ],
)
async def test_a_wrong_limit_is_told_in_the_words_of_its_kind_alone(
    admin: Client, limit: object, place: str, message: str
) -> None:
    answer = await admin.put("/v1/plans/gold", json={"limits": [limit]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["in"] == f"body.limits.0{place}"
    assert error["message"].startswith(message)


async def test_a_refused_body_is_not_quoted(admin: Client) -> None:
    answer = await admin.post("/v1/explain", json={"target": "/", "key": "tg_live_" * 200})
    assert answer.status_code == 422
    assert "tg_live" not in answer.text
    assert [error["in"] for error in answer.json()["errors"]] == ["body.key"]


async def test_what_nobody_expected_says_nothing_of_it(
    app: FastAPI, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(app.state.parts.repository, "get_key", fail)
    answer = await admin.get("/v1/keys/key_000000000000")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "42" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreUnavailable("away"), 503), (CommandFailed("ERR the secret is 42"), 500)],
)
async def test_a_store_that_fails_is_no_401(
    app: FastAPI, admin: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(app.state.parts.repository, "get_key", fail)
    answer = await admin.get("/v1/keys/key_000000000000")
    assert answer.status_code == status
    assert "42" not in answer.text
