"""Last of all: send the request to the service, with the gateway's own fields in place.

What the client may not decide is written here: credentials and claimed identities are taken out,
the caller's identity and the way the request came are put in. Host and framing are the upstream
client's work. Hot: names are classified once and remembered, so that a request without special
fields costs one pass; the rules themselves are identity's and upstream's pure functions.
"""

from collections.abc import Awaitable
from enum import IntEnum, auto
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from tidegate.config import Route
from tidegate.http import HeaderField, Headers, Response
from tidegate.identity import Caller, is_gateways_own, without_credentials
from tidegate.policies.policy import Next, Policy, Request
from tidegate.upstream import FORWARDING_FIELDS, Upstream, add_forwarding_fields, via_field

PEERS_MAX: Final = 4096
"""Peers remembered in a worker, with the field that names them and whether they are trusted."""
NAMES_MAX: Final = 1024
"""Names of fields that are remembered: clients choose them freely."""


class Kind(IntEnum):
    """What becomes of a field, as far as its name decides."""

    PASSES = 0
    DROPPED = auto()
    DEPENDS = auto()
    """On its value, the route or the peer: the rules must be asked."""


# Looking up a member of an Enum costs as much as the rest of the loop it is used in.
_PASSES: Final = Kind.PASSES
_DEPENDS: Final = Kind.DEPENDS


class _Kinds(dict[bytes, Kind]):
    """The kind of each name seen, worked out at its first look-up."""

    def __missing__(self, name: bytes) -> Kind:
        kind = _kind(name)
        if len(self) < NAMES_MAX:
            self[name] = kind
        return kind


class Forward:
    """Ends the chain: answers with what the service answers."""

    def __init__(
        self, upstream: Upstream, trusted: tuple[IPv4Network | IPv6Network, ...], *, auth_none: bool
    ) -> None:
        self._upstream = upstream
        self._trusted = trusted
        self._auth_none = auth_none
        self._kinds = _Kinds()
        self._peers: dict[str, tuple[HeaderField, bool]] = {}

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        request.headers = self._headers(request)
        return self._upstream.send(request)

    def _headers(self, request: Request) -> Headers:
        """Return the fields that go upstream."""
        client_field, is_trusted = self._peers.get(request.client) or self._peer(request.client)
        caller = request.context.caller
        kinds = self._kinds
        headers = Headers()
        for field in request.headers:
            kind = kinds[field[0]]
            if kind is _PASSES:
                headers.append(field)
            elif kind is _DEPENDS:
                return self._headers_by_rule(request, caller, is_trusted=is_trusted)
        headers.append(via_field(request.http_version))
        if request.client:
            headers.append(client_field)
        headers.append((b"x-forwarded-proto", b"https" if request.scheme == "https" else b"http"))
        if request.host:
            headers.append((b"x-forwarded-host", request.host))
        if caller is not None:
            headers += caller.upstream_headers
        return headers

    def _headers_by_rule(
        self, request: Request, caller: Caller | None, *, is_trusted: bool
    ) -> Headers:
        kept = without_credentials(request.headers, self._auth_none)
        headers = Headers(f for f in kept if self._kinds[f[0]] is not Kind.DROPPED)
        add_forwarding_fields(
            headers,
            client=request.client,
            host=request.host,
            scheme=request.scheme,
            http_version=request.http_version,
            is_peer_trusted=is_trusted,
        )
        if caller is not None:
            headers += caller.upstream_headers
        return headers

    def _peer(self, client: str) -> tuple[HeaderField, bool]:
        field = (b"x-forwarded-for", client.encode("latin-1", "replace"))
        peer = field, self._is_in_trusted_network(client)
        if len(self._peers) >= PEERS_MAX:
            self._peers.clear()
        self._peers[client] = peer
        return peer

    def _is_in_trusted_network(self, client: str) -> bool:
        try:
            address = ip_address(client)
        except ValueError:
            return False
        return any(
            address.version == network.version and address in network for network in self._trusted
        )


def _kind(name: bytes) -> Kind:
    if name == b"host" or is_gateways_own(name):
        return Kind.DROPPED
    if name == b"authorization" or name in FORWARDING_FIELDS:
        return Kind.DEPENDS
    # WSGI and CGI read `X_Forwarded_For` as X-Forwarded-For; no proxy writes it so.
    return Kind.DROPPED if name.replace(b"_", b"-") in FORWARDING_FIELDS else Kind.PASSES


def build(route: Route, upstream: Upstream, trusted_proxies: tuple[str, ...]) -> Policy:
    trusted = tuple(ip_network(network) for network in trusted_proxies)
    return Forward(upstream, trusted, auth_none=not route.auth)
