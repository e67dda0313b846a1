"""The fields a proxy adds about itself and its client: Via and X-Forwarded-* (RFC 9110, 7.6.3).

Pure functions over Headers, for the forward policy (requests) and the response reader (responses).
A peer that is not trusted can say nothing about who stands behind it: what it claims is replaced,
and every field of that family which Tidegate does not write itself is dropped.
Cost on the hot path: one pass over the names.
"""

from typing import Final

from tidegate.http.claims import is_claim
from tidegate.http.headers import HeaderField, Headers, name_of

PSEUDONYM: Final = b"tidegate"
"""Stands for this proxy in Via, in place of a host name that is nobody's business."""

_VIA: Final[dict[str, HeaderField]] = {
    version: (b"via", b"%b %b" % (version.encode(), PSEUDONYM)) for version in ("1.0", "1.1", "2")
}
_SCHEMES: Final[dict[str, HeaderField]] = {
    scheme: (b"x-forwarded-proto", scheme.encode()) for scheme in ("http", "https")
}


def add_forwarding_fields(
    headers: Headers,
    *,
    client: str,
    host: bytes,
    scheme: str,
    http_version: str,
    is_peer_trusted: bool,
) -> None:
    """Complete a request's fields, in place, with Via and X-Forwarded-For, -Proto and -Host.

    `client` is the peer's address, or empty where there is none (no X-Forwarded-For is written
    then). What a trusted peer said stays: its list of addresses is extended, its scheme and host
    are kept.
    """
    said = any(map(is_claim, map(name_of, headers)))
    if said and not is_peer_trusted:
        headers[:] = [field for field in headers if not is_claim(field[0])]
    add_via(headers, http_version)
    if said and is_peer_trusted:
        _extend(headers, client, host, scheme)
        return
    if client:
        headers.append((b"x-forwarded-for", client.encode("latin-1", "replace")))
    headers.append(_scheme_field(scheme))
    if host:
        headers.append((b"x-forwarded-host", host))


def add_via(headers: Headers, http_version: str) -> None:
    """Append this proxy to Via, as received in `http_version`; one field holds the whole list."""
    own = via_field(http_version)
    for name, _ in headers:
        if name == b"via":
            earlier = headers.get_all(b"via")
            headers.replace(b"via", b", ".join([*earlier, own[1]]))
            return
    headers.append(own)


def via_field(http_version: str) -> HeaderField:
    """Return the Via field of a message that no other proxy has marked."""
    return _VIA.get(http_version, _VIA["1.1"])


def _extend(headers: Headers, client: str, host: bytes, scheme: str) -> None:
    """Add to what a trusted peer said; where it said nothing, say it ourselves."""
    if client:
        addresses = headers.get_all(b"x-forwarded-for")
        addresses.append(client.encode("latin-1", "replace"))
        headers.replace(b"x-forwarded-for", b", ".join(addresses))
    if headers.get(b"x-forwarded-proto") is None:
        headers.append(_scheme_field(scheme))
    if host and headers.get(b"x-forwarded-host") is None:
        headers.append((b"x-forwarded-host", host))


def _scheme_field(scheme: str) -> HeaderField:
    return _SCHEMES.get(scheme, _SCHEMES["http"])
