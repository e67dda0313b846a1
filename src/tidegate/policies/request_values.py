"""What a request tells that limits count by: the client's address, and values of its headers.

The address is the peer's, or what trusted proxies say (client_address). Where none can be read, as
on a Unix socket, all such clients are counted as one, which is said in the log once. A header that
is sent twice counts as its joined value (RFC 9110, section 5.3); an empty one is missing.
"""

import logging
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from tidegate.config.schema import Limit
from tidegate.policies.applicable_limits import Applicable, HeaderMissing, Value, fallback_of
from tidegate.policies.client_address import TrustedProxies, counted_by
from tidegate.policies.policy import Request
from tidegate.policies.scopes import ADDRESS
from tidegate.rate_limiter import Whose

logger: Final = logging.getLogger("tidegate.policies")

UNREADABLE: Final = b"unreadable"
READ_MAX: Final = 10_000
"""Addresses that are kept read, about 0.3 KB each: reading one costs 3 microseconds, and 10 where
it is what a trusted proxy says."""
VALUE_BYTES_MAX: Final = 64
"""Of a longer value its digest is kept: what clients send must not decide how much that is."""
DIGEST_BYTES: Final = 32
CLAIM_BYTES_MAX: Final = 256
"""What is kept of what proxies say: five or six addresses."""


def kept_value(value: bytes) -> bytes:
    """Return what of a header's value is kept, and counted under."""
    if len(value) > VALUE_BYTES_MAX:
        return blake2b(value, digest_size=DIGEST_BYTES).digest()
    return value


class RequestValues:
    """Made once for a worker."""

    def __init__(self, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        self._read: dict[str | tuple[str, bytes], bytes] = {}
        """By the peer, or for one that stands for clients behind it by what it says as well."""
        self._has_told_unreadable = False

    def of(self, applicable: Applicable, request: Request) -> tuple[Value, ...]:
        """Return a value for each limit that needs one. Raises HeaderMissing."""
        whose = applicable.whose
        return tuple(self._value(limit, whose, request) for limit, _ in applicable.varying)

    def told(self, applicable: Applicable, request: Request) -> Applicable:
        """Return the limits that have a value, without those whose header is missing."""
        there = []
        for applied in applicable.varying:
            with suppress(HeaderMissing):
                self._value(applied.limit, applicable.whose, request)
                there.append(applied)
        return applicable._replace(varying=tuple(there))

    def address(self, request: Request) -> bytes:
        """Return what the client's address is counted under: IPv6 by its /64."""
        peer = request.client
        read = self._read.get(peer)
        if read is not None:
            return read
        claim = b",".join(request.headers.get_all(b"x-forwarded-for"))
        return self._read.get((peer, claim)) or self._learned(peer, claim, request)

    def _value(self, limit: Limit, whose: Whose, request: Request) -> Value:
        per, value = ADDRESS, b""
        if limit.header is not None:
            value = kept_value(b", ".join(request.headers.get_all(limit.header.encode())))
            per = limit.per if value else fallback_of(limit, whose)
        if per == ADDRESS:
            value = self.address(request)
        return Value(per, value)

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
                "a request came from %.100r, which is no address: limits per address count all "
                "such clients as one. Where a proxy stands before the gateway, "
                "listen.trusted_proxies lets it tell the client's",
                peer,
            )
        return UNREADABLE
