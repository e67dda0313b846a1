"""Last of all: send the request to the service, with the gateway's own fields in place.

What the client may not decide is written here: credentials and claimed identities are taken out,
the caller's identity and the way the request came are put in. Host and framing are the upstream
client's work.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from tidegate.config import Route
from tidegate.http import Response
from tidegate.identity import without_credentials
from tidegate.policies.policy import Next, Policy, Request
from tidegate.upstream import Upstream, add_forwarding_fields

PEERS_MAX: Final = 4096
"""Peers whose trust is remembered in a worker; beyond that it is worked out again."""


class Forward:
    """Ends the chain: answers with what the service answers."""

    def __init__(
        self, upstream: Upstream, trusted: tuple[IPv4Network | IPv6Network, ...], *, auth_none: bool
    ) -> None:
        self._upstream = upstream
        self._trusted = trusted
        self._auth_none = auth_none
        self._trust_of_peer: dict[str, bool] = {}

    async def __call__(self, request: Request, call_next: Next) -> Response:
        request.headers = headers = without_credentials(request.headers, self._auth_none)
        add_forwarding_fields(
            headers,
            client=request.client,
            host=request.host,
            scheme=request.scheme,
            http_version=request.http_version,
            is_peer_trusted=bool(self._trusted) and self._trusts(request.client),
        )
        caller = request.context.caller
        if caller is not None:
            headers.extend(caller.upstream_headers)
        return await self._upstream.send(request)

    def _trusts(self, peer: str) -> bool:
        trust = self._trust_of_peer.get(peer)
        if trust is None:
            trust = self._is_in_trusted_network(peer)
            if len(self._trust_of_peer) >= PEERS_MAX:
                self._trust_of_peer.clear()
            self._trust_of_peer[peer] = trust
        return trust

    def _is_in_trusted_network(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(
            address.version == network.version and address in network for network in self._trusted
        )


def build(route: Route, upstream: Upstream, trusted_proxies: tuple[str, ...]) -> Policy:
    trusted = tuple(ip_network(network) for network in trusted_proxies)
    return Forward(upstream, trusted, auth_none=not route.auth)
