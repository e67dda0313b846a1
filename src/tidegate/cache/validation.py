"""Validators in both directions (RFC 9111, section 4.3; RFC 9110, section 13).

Towards the service: what to ask with, and what its 304 makes of the stored fields. Towards the
client: whether its own copy is still the stored one.
"""

import re
from typing import Final

from tidegate.cache.dates import http_date
from tidegate.cache.storing import stored_fields
from tidegate.http import Headers

CONDITIONS: Final = frozenset({b"if-none-match", b"if-modified-since"})
"""Conditions that a cache may evaluate; the client's own are replaced when it validates."""

_TAG: Final = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_ENTITY_TAG: Final = re.compile(_TAG)
_TAG_LIST: Final = re.compile(rb"[ \t,]*" + _TAG + rb"(?:[ \t]*,[ \t,]*" + _TAG + rb")*[ \t,]*")
_OF_THE_BODY: Final = frozenset(
    {b"content-encoding", b"content-length", b"content-range", b"content-type"}
)
"""Section 3.2: the stored body depends on these, so a 304 does not change them."""
_NOT_IN_304: Final = _OF_THE_BODY | {b"content-language"}
_OF_ONE_ANSWER: Final = frozenset({b"age", b"date"})
"""These tell when an answer was made: the stored ones end with the answer that freshens it."""


def conditional_fields(stored_headers: Headers) -> Headers:
    """Return the conditions to send (section 4.3.1); empty if there is nothing to validate by."""
    conditions = Headers()
    tag = _single_tag(stored_headers)
    if tag is not None:
        conditions.append((b"if-none-match", tag))
    modified = stored_headers.get_all(b"last-modified")
    if len(modified) == 1 and http_date(modified[0]) is not None:
        conditions.append((b"if-modified-since", modified[0]))
    return conditions


def is_answered_by_304(stored_headers: Headers, headers_of_304: Headers) -> bool:
    """Whether a 304 speaks of the stored response (section 4.3.4), not of another one.

    If not, nothing may be updated, and the request is sent again without conditions.
    """
    if headers_of_304.get(b"etag") is not None:
        tag, stored_tag = _single_tag(headers_of_304), _single_tag(stored_headers)
        return tag is not None and stored_tag is not None and _opaque(tag) == _opaque(stored_tag)
    modified = headers_of_304.get_all(b"last-modified")
    return not modified or modified == stored_headers.get_all(b"last-modified")


def updated_by_304(stored_headers: Headers, headers_of_304: Headers) -> Headers:
    """Return the stored fields, freshened (section 3.2). Whether they may still be stored is
    to be asked again: a 304 can say `no-store` or set a cookie."""
    new = Headers([f for f in stored_fields(headers_of_304) if f[0] not in _OF_THE_BODY])
    replaced = {name for name, _ in new} | _OF_ONE_ANSWER
    return Headers([f for f in stored_headers if f[0] not in replaced] + new)


def is_not_modified(request_headers: Headers, status: int, stored_headers: Headers) -> bool:
    """Whether the client's conditions are answered by a 304 (section 4.3.2).

    If-None-Match is compared weakly and hides If-Modified-Since (RFC 9110, section 13.2.2).
    """
    if status != 200:
        return False
    asked = request_headers.get_all(b"if-none-match")
    if asked:
        return _is_matched(b",".join(asked), _single_tag(stored_headers))
    since = request_headers.get_all(b"if-modified-since")
    if len(since) != 1 or (limit := http_date(since[0])) is None:
        return False
    modified = stored_headers.get_all(b"last-modified") or stored_headers.get_all(b"date")
    times = [http_date(value) for value in modified]
    return bool(times) and all(time is not None and time <= limit for time in times)


def headers_for_304(stored_headers: Headers) -> Headers:
    """Return the fields of a 304 made from a stored 200 (RFC 9110, section 15.4.5)."""
    return Headers([f for f in stored_headers if f[0] not in _NOT_IN_304])


def _is_matched(asked: bytes, stored_tag: bytes | None) -> bool:
    if asked.strip(b" \t") == b"*":
        return True
    if stored_tag is None or _TAG_LIST.fullmatch(asked) is None:
        return False
    return _opaque(stored_tag) in {_opaque(tag) for tag in _ENTITY_TAG.findall(asked)}


def _single_tag(headers: Headers) -> bytes | None:
    tags = headers.get_all(b"etag")
    return tags[0] if len(tags) == 1 and _ENTITY_TAG.fullmatch(tags[0]) is not None else None


def _opaque(tag: bytes) -> bytes:
    return tag.removeprefix(b"W/")
