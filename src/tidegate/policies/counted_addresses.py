"""What a client's address is counted under, by limits and where keys fail: read once, and kept.

The address is the peer's, or what trusted proxies say (client_address). Where none can be read, as
on a Unix socket, all such clients are counted as one, which is said in the log once.
"""

import logging
from typing import Final

from tidegate.policies.client_address import TrustedProxies, counted_by
from tidegate.policies.policy import Request

logger: Final = logging.getLogger("tidegate.policies")

UNREADABLE: Final = b"unreadable"
READ_MAX: Final = 10_000
"""Addresses that are kept read, about 0.3 KB each: reading one costs 3 microseconds, and 10 where
it is what a trusted proxy says."""
CLAIM_BYTES_MAX: Final = 256
"""What is kept of what proxies say: five or six addresses."""


class CountedAddresses:
    """Made once for a worker."""

    def __init__(self, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        self._read: dict[str | tuple[str, bytes], bytes] = {}
        """By the peer, or for one that stands for clients behind it by what it says as well."""
        self._has_told_unreadable = False

    def of(self, request: Request) -> bytes:
        """Return what the client's address is counted under: IPv6 by its /64."""
        peer = request.client
        read = self._read.get(peer)
        if read is not None:
            return read
        claim = b",".join(request.headers.get_all(b"x-forwarded-for"))
        return self._read.get((peer, claim)) or self._learned(peer, claim, request)

    def _learned(self, peer: str, claim: bytes, request: Request) -> bytes:
        address = self._proxies.client(peer, request.headers)
        if address is None:
            return self._unreadable(peer)
        counted = counted_by(address)
        if len(self._read) >= READ_MAX:
            self._read.clear()
        if not self._proxies.trusts(peer):
            self._read[peer] = counted
        elif len(claim) <= CLAIM_BYTES_MAX:
            self._read[peer, claim] = counted
        return counted

    def _unreadable(self, peer: str) -> bytes:
        if not self._has_told_unreadable:
            self._has_told_unreadable = True
            logger.warning(
                "a request came from %.100r, which is no address: all such clients are counted as "
                "one, by limits per address and where keys fail. Where a proxy stands before the "
                "gateway, listen.trusted_proxies lets it tell the client's; an ASGI server must "
                "not take its word as well (uvicorn --no-proxy-headers)",
                peer,
            )
        return UNREADABLE
