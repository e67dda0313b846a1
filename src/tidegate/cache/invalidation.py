"""Which stored responses a change makes invalid (RFC 9111, section 4.4).

A request whose method is not known to be safe, answered without an error, invalidates its own
target and what Location and Content-Location name, if that is of the same origin: a service must
not be able to empty another's cache.
"""

from typing import Final
from urllib.parse import urljoin, urlsplit

from tidegate.http import GatewayError, Headers
from tidegate.http.target import parse_target

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, section 9.2.1."""

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


def invalidated_targets(
    method: str,
    scheme: str,
    host: bytes,
    target: bytes,
    status: int,
    response_headers: Headers,
) -> tuple[bytes, ...]:
    """Return the targets (path and query, normalised) on `host` whose entries must go.

    `target` is the request's own, as http/target.py made it.
    """
    if method in SAFE_METHODS or not 200 <= status < 400:
        return ()
    targets = {target: None}
    base = b"%b://%b%b" % (scheme.encode(), host, target)
    for name in (b"location", b"content-location"):
        for reference in response_headers.get_all(name):
            named = _same_origin_target(base, reference)
            if named is not None:
                targets[named] = None
    return tuple(targets)


def _same_origin_target(base: bytes, reference: bytes) -> bytes | None:
    try:
        url = urlsplit(urljoin(base, reference))
        own = urlsplit(base)
        if _origin(url.scheme, url.netloc) != _origin(own.scheme, own.netloc):
            return None
        raw = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        _, path, query = parse_target(raw, [own.netloc], "1.1")
    except (ValueError, GatewayError):
        return None
    return path if query is None else b"%b?%b" % (path, query)


def _origin(scheme: bytes, authority: bytes) -> tuple[bytes, bytes]:
    scheme = scheme.lower()
    return scheme, authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme, b":"))
