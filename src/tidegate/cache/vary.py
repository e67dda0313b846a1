"""Which request fields a stored response depends on, and what they said (RFC 9111, section 4.1).

Values are compared as digests: what clients send (cookies, credentials) is not written into the
store, and a key's length is bounded.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from tidegate.http import Headers
from tidegate.http.claims import has_twins, is_claim

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CASELESS: Final = frozenset({b"accept-charset", b"accept-encoding", b"accept-language"})
_LISTS: Final = _CASELESS | {b"accept"}
"""Fields in which blanks around commas mean nothing, quoted strings apart."""

_GATEWAYS: Final = frozenset({b"traceparent", b"tracestate", b"via", b"x-api-key", b"x-request-id"})
"""Fields that the gateway writes or takes out behind the cache, besides what proxies claim: the
client's copies say nothing."""

DIGEST_BYTES: Final = 20
REMEMBERED_BYTES_MAX: Final = 128
"""Of a value whose digest is remembered, where it is the only one and no secret: most answers vary
by Accept-Encoding alone, and clients say the same in it."""
REMEMBERED_COUNT: Final = 1024


def vary_names(response_headers: Headers) -> tuple[bytes, ...] | None:
    """Return the lower-case names that select the response, sorted; None if nothing can.

    None stands for `*`, for a member that is no field name, and for fields whose value the service
    sees other than the cache does.
    """
    names = set()
    for value in response_headers.get_all(b"vary"):
        for member in value.split(b","):
            name = member.strip(b" \t").lower()
            if not name:
                continue
            if name == b"*" or _TOKEN.fullmatch(name) is None or _is_gateways(name):
                return None
            names.add(name)
    return tuple(sorted(names))


def selecting_values(names: Sequence[bytes], request_headers: Headers) -> bytes:
    """Return what the request says in the fields `names`, as a digest; b"" for no names.

    A field that is absent differs from one that is empty. Lines of one field count as one list;
    blanks and case are levelled only where they are known to mean nothing.
    """
    said = [(name, _said(name, request_headers)) for name in names]
    if len(said) == 1 and names[0] in _LISTS and len(said[0][1] or b"") <= REMEMBERED_BYTES_MAX:
        return _remembered(*said[0])
    return _digest(said)


def _said(name: bytes, request_headers: Headers) -> bytes | None:
    values = request_headers.get_all(name)
    return b", ".join(values) if values else None


@lru_cache(REMEMBERED_COUNT)
def _remembered(name: bytes, value: bytes | None) -> bytes:
    return _digest(((name, value),))


def _digest(said: Iterable[tuple[bytes, bytes | None]]) -> bytes:
    parts = []
    for name, value in said:
        if value is None:
            parts.append(b"%b;" % name)
            continue
        value = _levelled(name, value)
        parts.append(b"%b:%d:%b;" % (name, len(value), value))
    return blake2b(b"".join(parts), digest_size=DIGEST_BYTES).digest() if parts else b""


def _levelled(name: bytes, value: bytes) -> bytes:
    if name not in _LISTS or b'"' in value:
        return value
    value = b",".join([member.strip(b" \t") for member in value.split(b",")])
    return value.lower() if name in _CASELESS else value


def _is_gateways(name: bytes) -> bool:
    is_own = name in _GATEWAYS or name.startswith(b"x-tidegate-")
    return is_own or is_claim(name) or has_twins(name)
