"""What a request tells that limits count by: the client's address, and values of its headers.

A header that is sent twice counts as its joined value (RFC 9110, section 5.3); an empty one is
missing.
"""

from contextlib import suppress
from hashlib import blake2b
from typing import Final

from tidegate.config.schema import Limit
from tidegate.policies.applicable_limits import Applicable, HeaderMissing, Value, fallback_of
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.policies.policy import Request
from tidegate.policies.scopes import ADDRESS
from tidegate.rate_limiter import Whose

VALUE_BYTES_MAX: Final = 64
"""Of a longer value its digest is kept: what clients send must not decide how much that is."""
DIGEST_BYTES: Final = 32


def kept_value(value: bytes) -> bytes:
    """Return what of a header's value is kept, and counted under."""
    if len(value) > VALUE_BYTES_MAX:
        return blake2b(value, digest_size=DIGEST_BYTES).digest()
    return value


class RequestValues:
    """Made once for a worker."""

    def __init__(self, addresses: CountedAddresses) -> None:
        self._addresses = addresses

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

    def _value(self, limit: Limit, whose: Whose, request: Request) -> Value:
        per, value = ADDRESS, b""
        if limit.header is not None:
            value = kept_value(b", ".join(request.headers.get_all(limit.header.encode())))
            per = limit.per if value else fallback_of(limit, whose)
        if per == ADDRESS:
            value = self._addresses.of(request)
        return Value(per, value)
