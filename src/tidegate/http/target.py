"""The request target and Host: what is refused, and the one form that is routed and forwarded.

Both doors call this, because ASGI servers check neither. The path that comes out is the path that
is routed *and* sent upstream: percent-encoded unreserved characters are decoded, other triplets
get upper-case digits, dot segments are resolved (RFC 3986, section 6.2.2). Nothing else is
rewritten. How loosely an upstream might read the rest (`%2F`, `//`, `;`, case) is the router's
concern. Hot: a path without `%` and `/.` costs one regular expression.
"""

import re
from typing import Final

from tidegate.http.errors import BadRequest

_PCHAR: Final = rb"[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}"
_PATH: Final = re.compile(rb"/(?:/|" + _PCHAR + rb")*")
# `[` and `]` are not in RFC 3986's query, yet browsers and form encoders send them bare.
_QUERY: Final = re.compile(rb"(?:[/?\[\]]|" + _PCHAR + rb")*")
_HOST: Final = re.compile(
    rb"(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9\-_.]{0,253}[a-z0-9_.])?)(?::[0-9]{1,5})?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)
_TRIPLET: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)

Target = tuple[bytes, bytes, bytes | None]
"""Host (lower case, with port if given), normalised path, query without `?` or None."""


def parse_target(raw: bytes, hosts: list[bytes], http_version: str) -> Target:
    """Check target and Host fields (RFC 9112, section 3.2) and return what to route and forward.

    `hosts` are the values of all Host fields. Only HTTP/1.0 may come without one; then the host
    is empty. An absolute-form target names the host itself. Raises BadRequest.
    """
    host = checked_host(hosts, http_version)
    if raw[:1] != b"/":
        if raw == b"*":
            return host, raw, None
        absolute = _ABSOLUTE.fullmatch(raw)
        if absolute is None:
            raise BadRequest("The target must be a path, or an http or https URL")
        host = _valid_host(absolute[1], "The target's authority")
        raw = absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]
    path, separator, query = raw.partition(b"?")
    if _PATH.fullmatch(path) is None:
        raise BadRequest("The path holds a character that must be percent-encoded")
    if separator and _QUERY.fullmatch(query) is None:
        raise BadRequest("The query holds a character that must be percent-encoded")
    return host, normalised_path(path), query if separator else None


def checked_host(hosts: list[bytes], http_version: str) -> bytes:
    """Return the one valid Host in lower case; raise BadRequest (RFC 9112, section 3.2)."""
    if len(hosts) > 1:
        raise BadRequest("Host is given more than once")
    if not hosts:
        if http_version == "1.0":
            return b""
        raise BadRequest("Host is missing")
    return _valid_host(hosts[0], "Host")


def normalised_path(path: bytes) -> bytes:
    """Return a valid absolute path in its one forwarded form; raise BadRequest above the root."""
    if b"%" in path:
        path = _TRIPLET.sub(_normalised_triplet, path)
        if b"%00" in path:
            raise BadRequest("The path holds an encoded NUL")
    if b"/." not in path:
        return path
    return _without_dot_segments(path)


def _valid_host(value: bytes, what: str) -> bytes:
    host = value.lower()
    if _HOST.fullmatch(host) is None:
        raise BadRequest(f"{what} must be a host name or address with an optional port")
    return host


def _normalised_triplet(match: re.Match[bytes]) -> bytes:
    value = int(match[0][1:], 16)
    return bytes((value,)) if value in _UNRESERVED else match[0].upper()


def _without_dot_segments(path: bytes) -> bytes:
    """RFC 3986, section 5.2.4, but a path that climbs above the root is refused, not clipped."""
    kept: list[bytes] = []
    segments = path[1:].split(b"/")
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise BadRequest("The path climbs above the root")
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
