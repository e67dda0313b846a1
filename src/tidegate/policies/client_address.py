"""Who stands behind a request: the peer, or what proxies that are trusted say about it.

X-Forwarded-For is a list that each proxy extends on the right, so the client is the rightmost
address that no trusted proxy has; what stands left of it is the client's own claim (RFC 7239,
section 8.1 warns of it). From a peer that is not trusted the field says nothing at all.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from tidegate.http import Headers

Address = IPv4Address | IPv6Address
IPV6_SITE_BITS: Final = 64
"""A host has a /64 at the least, so a bound on single addresses would be none (RFC 4291, 2.5.4)."""


class TrustedProxies:
    """The networks of `listen.trusted_proxies`."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(network) for network in networks
        )

    def trusts(self, client: str) -> bool:
        return bool(self._networks) and self._has(_address(client))

    def client(self, peer: str, headers: Headers) -> Address | None:
        """Return the address that a request came from; None where the door has none to tell.

        What cannot be read as an address ends the list: it is then its reporter that counts.
        """
        nearest = _address(peer)
        if not self._networks:
            return nearest
        claims = b",".join(headers.get_all(b"x-forwarded-for")).split(b",")
        while claims and self._has(nearest):
            claimed = _claimed_address(claims.pop())
            if claimed is None:
                break
            nearest = claimed
        return nearest

    def _has(self, address: Address | None) -> bool:
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


def counted_by(address: Address) -> bytes:
    """Return what an address is counted under: itself, or the /64 of IPv6."""
    if isinstance(address, IPv4Address):
        return str(address).encode()
    site = int(address) >> IPV6_SITE_BITS << IPV6_SITE_BITS
    return b"%b/%d" % (str(IPv6Address(site)).encode(), IPV6_SITE_BITS)


def counted_as(text: str) -> bytes:
    """Return what the address that somebody wrote is counted under. Raises ValueError."""
    address = _address(text)
    if address is None:
        raise ValueError("write an address, such as 203.0.113.9 or 2001:db8::1")
    return counted_by(address)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _claimed_address(claim: bytes) -> Address | None:
    """Read one member of X-Forwarded-For, which some proxies write with a port."""
    text = claim.strip().decode("latin-1").strip('"')
    if text.startswith("["):
        return _address(text[1:].partition("]")[0])
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return _address(text)
