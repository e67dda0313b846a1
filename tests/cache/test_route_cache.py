"""A request as a route's cache sees it: what memory answers at once, and what it is told of it."""

import asyncio
import time

import pytest

from tidegate.cache.memory import Copy
from tidegate.cache.question import Question
from tidegate.cache.route_cache import RouteCache
from tidegate.http import Headers, Request

PLAIN = Headers([(b"accept", b"*/*"), (b"x-api-key", b"k")])


def request(headers: Headers = PLAIN, method: str = "GET", **options) -> Request:
    return Request(method, b"/x", headers, host=b"shop.test", **options)


@pytest.fixture
async def held(opened_cache, place, entry):
    """A route's cache with a copy of /x in memory."""
    cache = await opened_cache()
    async with asyncio.timeout(10):
        while not cache.memory._tracking.is_live:  # noqa: ASYNC110 no event tells
            await asyncio.sleep(0.01)
    route_cache = RouteCache(cache, b"shop/all", 60.0, lambda headers: headers)
    question = route_cache.asked(request(), "acme", b"")
    assert isinstance(question, Question)
    stored = entry(response_time=time.time())
    at = place()
    cache.memory.put(question.key, at.own, stored, at.generations, cache.memory.mark())
    return route_cache


@pytest.fixture
def touched(held, monkeypatch):
    """What the store is told of, and it may be told at any time."""
    monkeypatch.setattr("tidegate.cache.memory.TOUCH_S", 0.0)
    entries: list[bytes] = []
    monkeypatch.setattr(held._cache.storage, "touch", lambda entry, _: entries.append(entry))
    return entries


async def test_a_request_that_says_nothing_is_answered_by_a_copy(held) -> None:
    for method, body, length in (("GET", b"hello", None), ("HEAD", b"", 5)):
        copy = held.asked(request(method=method), "acme", b"")
        assert isinstance(copy, Copy)
        answer = held.copied(copy, method)
        assert (answer.status, answer.body, answer.content_length) == (200, body, length)
        assert answer.headers.get(b"age") == b"0"


async def test_each_answer_has_fields_of_its_own(held) -> None:
    copy = held.asked(request(), "acme", b"")
    first, second = held.copied(copy, "GET"), held.copied(copy, "GET")
    first.headers.append((b"x-request-id", b"one"))
    assert second.headers.get(b"x-request-id") is None


@pytest.mark.parametrize("tenant", ["other", None])
async def test_a_copy_is_its_tenants_alone(held, tenant) -> None:
    question = held.asked(request(), tenant, b"")
    assert isinstance(question, Question)
    assert question.copy is None


@pytest.mark.parametrize(
    ("fields", "tenant", "is_plain"),
    [
        ([(b"authorization", b"Bearer k")], "acme", True),
        ([(b"authorization", b"Bearer k"), (b"x-api-key", b"k")], "acme", False),
        ([(b"authorization", b"Bearer k")], None, False),
        ([(b"authorization", b"Bearer k"), (b"cookie", b"a=b")], "acme", False),
        ([(b"authorization", b"Bearer k"), (b"cache-control", b"no-cache")], "acme", False),
        ([(b"cache-control", b"no-cache")], "acme", False),
        ([(b"pragma", b"no-cache")], "acme", False),
        ([(b"cookie", b"a=b")], "acme", False),
        ([(b"if-none-match", b"*")], "acme", False),
        ([(b"if-modified-since", b"now")], "acme", False),
    ],
)
async def test_what_a_request_says_is_judged_unless_it_is_the_key(
    held, fields, tenant, is_plain
) -> None:
    asked = held.asked(request(Headers(fields)), tenant, b"")
    assert isinstance(asked, Copy) is is_plain
    assert is_plain or isinstance(asked, Question)


@pytest.mark.parametrize(
    "name",
    [
        b"if-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    ],
)
async def test_some_requests_are_passed_by(held, name) -> None:
    assert isinstance(held.asked(request(Headers([*PLAIN, (name, b"x")])), "acme", b""), str)


async def test_a_request_with_content_is_passed_by(held) -> None:
    assert held.asked(request(body=b"x"), "acme", b"") == "a request with content"


async def test_a_use_is_noted_once_in_a_second_of_age(held, touched) -> None:
    for _ in range(3):
        copy = held.asked(request(), "acme", b"")
        held.copied(copy, "GET")
    assert len(touched) == 1
    copy.prepared_until = 0.0
    held.copied(held.asked(request(), "acme", b""), "GET")
    assert len(touched) == 2


async def test_who_only_asks_uses_nothing(held, touched) -> None:
    for _ in range(3):
        held.asked(request(), "acme", b"").prepared_until = 0.0
    assert touched == []
