"""Answers made of what is stored: a hit, its HEAD, the 304 to a client that has it already.

The fields that tell of the cache (Age, Cache-Status, X-Cache) are written here and nowhere else.
Hot: what a copy in memory answers is prepared once for each second of its age, and then copied.
"""

from collections.abc import AsyncIterator, Iterable
from email.utils import formatdate
from typing import Final

from tidegate.cache.freshness import current_age_s
from tidegate.cache.lookup import Kind, Verdict
from tidegate.cache.memory import Copy
from tidegate.cache.status_field import appended, hit_fields
from tidegate.cache.stored import Stored
from tidegate.cache.storing import stored_fields
from tidegate.cache.validation import headers_for_304, is_not_modified
from tidegate.http import Headers, Response
from tidegate.http.headers import HeaderField

_NOT_STORED: Final = frozenset({b"age", b"x-request-id"})
"""Fields of one answer: what a hit says instead is made anew."""


def prepare(copy: Copy, now: float) -> None:
    """Make ready the fields of a fresh copy for the second of its age that `now` is in."""
    stored = copy.stored
    age_s = current_age_s(stored.initial_age_s, stored.response_time, now)
    age = int(age_s)
    copy.prepared = with_fields(stored.headers, (_age(age), *hit_fields(copy.fresh_until - now)))
    copy.prepared_until = now + (age + 1 - age_s)
    copy.prepared_from = copy.prepared_until - 1
    copy.is_use_noted = False


def stored_answer(
    stored: Stored, body: bytes | AsyncIterator[bytes], method: str, headers: Headers
) -> Response:
    """Return the answer with these fields and this body; HEAD gets its length alone."""
    if method == "GET" and not isinstance(body, bytes):
        return Response(stored.status, headers, body, content_length=stored.body_length)
    if method == "GET":
        return Response(stored.status, headers, body)
    return Response(stored.status, headers, b"", content_length=stored.body_length)


def not_modified(
    answer: Stored | Response, request_headers: Headers, fields: Iterable[HeaderField]
) -> Response | None:
    """Return the 304 that the client's conditions ask for instead of `answer`, if they do."""
    if not is_not_modified(request_headers, answer.status, answer.headers):
        return None
    return Response(304, with_fields(headers_for_304(answer.headers), fields))


def hit_headers(verdict: Verdict) -> tuple[HeaderField, ...]:
    detail = "" if verdict.kind is Kind.FRESH else verdict.reason
    return (_age(int(verdict.age_s)), *hit_fields(verdict.ttl_s, detail))


def with_fields(headers: Headers, fields: Iterable[HeaderField]) -> Headers:
    """Return `headers` with what tells of this cache: earlier caches stay in Cache-Status."""
    fields = tuple(fields)
    written = {name for name, _ in fields}
    told = [value for name, value in headers if name == b"cache-status"]
    result = Headers([field for field in headers if field[0] not in written])
    for name, value in fields:
        result.append((name, appended(told, value) if name == b"cache-status" else value))
    return result


def fields_to_store(headers: Headers, response_time: float) -> Headers:
    """Return what is stored of a response's fields; Date is when it came, if it does not say."""
    kept = Headers([field for field in stored_fields(headers) if field[0] not in _NOT_STORED])
    if kept.get(b"date") is None:
        kept.append((b"date", formatdate(response_time, usegmt=True).encode()))
    return kept


def _age(seconds: int) -> HeaderField:
    return b"age", b"%d" % seconds
