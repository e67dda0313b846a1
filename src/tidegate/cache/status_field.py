"""What the cache says it did: Cache-Status (RFC 9211) and the older X-Cache beside it."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

from tidegate.http.headers import HeaderField


class Forwarded(Enum):
    """Why a request went to the service (RFC 9211, section 2.2)."""

    BYPASS = b"bypass"
    METHOD = b"method"
    URI_MISS = b"uri-miss"
    VARY_MISS = b"vary-miss"
    MISS = b"miss"
    REQUEST = b"request"
    """Fresh, but the request did not want it."""
    STALE = b"stale"


_X_CACHE: Final = {
    Forwarded.BYPASS: b"BYPASS",
    Forwarded.METHOD: b"BYPASS",
}
_NAME: Final = b"tidegate"

# RFC 8941, section 3.3.3: what a string may not hold, and what it must escape.
_UNPRINTABLE: Final = re.compile(rb"[^ -~]")
_SPECIAL: Final = re.compile(rb'["\\]')


def hit_fields(ttl_s: float, detail: str | None = None) -> tuple[HeaderField, HeaderField]:
    """Return the two fields of an answer from the cache; a negative `ttl_s` says it was stale."""
    value = b"%b; hit; ttl=%d" % (_NAME, ttl_s // 1)
    x_cache = b"HIT" if ttl_s >= 0 else b"STALE"
    return (b"cache-status", _with_detail(value, detail)), (b"x-cache", x_cache)


def forwarded_fields(
    why: Forwarded,
    *,
    status: int | None = None,
    is_stored: bool = False,
    is_collapsed: bool = False,
    detail: str | None = None,
) -> tuple[HeaderField, HeaderField]:
    """Return the two fields of an answer for which the service was asked.

    `status` is what the service answered, where it is not the answer's own (a 304 that confirmed
    a stored response). `is_collapsed`: another request's answer served this one too.
    """
    value = b"%b; fwd=%b" % (_NAME, why.value)
    if status is not None:
        value += b"; fwd-status=%d" % status
    if is_stored:
        value += b"; stored"
    if is_collapsed:
        value += b"; collapsed"
    x_cache = b"REVALIDATED" if status == 304 else _X_CACHE.get(why, b"MISS")
    return (b"cache-status", _with_detail(value, detail)), (b"x-cache", x_cache)


def unanswered_fields(detail: str) -> tuple[HeaderField, HeaderField]:
    """Return the two fields where nothing stored answers and the service was not asked either."""
    return (b"cache-status", _with_detail(_NAME, detail)), (b"x-cache", b"MISS")


def appended(upstream_values: Iterable[bytes], own: bytes) -> bytes:
    """Return one field value: caches nearer to the service come first (RFC 9211, section 2)."""
    return b", ".join((*upstream_values, own))


def _with_detail(value: bytes, detail: str | None) -> bytes:
    if not detail:
        return value
    text = _UNPRINTABLE.sub(b"?", detail.encode("ascii", "replace"))
    return b'%b; detail="%b"' % (value, _SPECIAL.sub(rb"\\\g<0>", text))
