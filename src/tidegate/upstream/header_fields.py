"""The fields a proxy adds about itself and its client: Via and X-Forwarded-* (RFC 9110, 7.6.3).

Pure functions over Headers, for the forward policy (requests) and the response reader (responses).
A peer that is not trusted can say nothing about who stands behind it: what it claims is replaced,
and every field of that family which Tidegate does not write itself is dropped.
Cost on the hot path: one pass over the names.
"""

from typing import Final

from tidegate.http.headers import HeaderField, Headers

PSEUDONYM: Final = b"tidegate"
"""Stands for this proxy in Via, in place of a host name that is nobody's business."""

_VIA: Final[dict[str, HeaderField]] = {
    version: (b"via", b"%b %b" % (version.encode(), PSEUDONYM)) for version in ("1.0", "1.1", "2")
}
_SCHEMES: Final[dict[str, HeaderField]] = {
    scheme: (b"x-forwarded-proto", scheme.encode()) for scheme in ("http", "https")
}

CLAIMS: Final = frozenset(
    {
        b"forwarded",
        b"front-end-https",
        b"true-client-ip",
        b"x-client-ip",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-method",
        b"x-forwarded-path",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-protocol",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-uri",
        b"x-host",
        b"x-original-host",
        b"x-original-uri",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
        b"x-url-scheme",
    }
)
"""Fields by which a proxy tells who its client is, or what it asked for: believed of trusted peers
alone. Some frameworks route by X-Original-URL or X-Rewrite-URL in place of the target."""

FORWARDING_FIELDS: Final = CLAIMS | {b"via"}
"""Fields of a request that `add_forwarding_fields` reads, extends or replaces."""


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
    said = [name for name, _ in headers if name in FORWARDING_FIELDS]
    if said and not is_peer_trusted:
        headers.remove_all(CLAIMS)
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
