"""A stored response as a value, and the bytes by which it lies in the store.

The rules read its plain fields; storage alone knows `body_id`. Packed and unpacked here only, with
a version in front: what another version wrote, or what is damaged, is no entry and never an error.
Times are seconds since 1970 on the clock of the worker that received the response.
"""

import struct
from dataclasses import dataclass
from typing import Final

from tidegate.http import Headers

FORMAT: Final = b"1"
_FIXED: Final = struct.Struct("!cddddHQHHHH")
"""Format, request and response time, initial age, lifetime, status, body length; then the lengths
of generation, Vary names, selecting digest and body id."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    status: int
    headers: Headers
    """End-to-end fields as the upstream sent them, with Date; none of framing."""
    request_time: float
    response_time: float
    initial_age_s: float
    """`freshness.initial_age_s` of the response (RFC 9111, section 4.2.3)."""
    lifetime_s: float
    """`freshness.lifetime_s` of the response: seconds from its generation for which it is fresh."""
    body_length: int
    body: bytes = b""
    """The whole body, unless it lies apart (`body_id`)."""
    body_id: bytes = b""
    """Not empty: the body is read in chunks from the store under this name."""
    vary: tuple[bytes, ...] = ()
    """Names of Vary, lower case, in one order."""
    selecting: bytes = b""
    """Digest of the request's values of these fields: they may be secrets."""
    generation: bytes = b""
    """What was valid when it was fetched: an invalidation or a purge makes another."""

    def packed(self) -> bytes:
        """Return the entry as it lies in the store."""
        vary = b",".join(self.vary)
        headers = b"\n".join([b"%b:%b" % field for field in self.headers])
        fixed = _FIXED.pack(
            FORMAT,
            self.request_time,
            self.response_time,
            self.initial_age_s,
            self.lifetime_s,
            self.status,
            self.body_length,
            len(self.generation),
            len(vary),
            len(self.selecting),
            len(self.body_id),
        )
        apart = self.generation + vary + self.selecting + self.body_id
        return b"%b%b%d\n%b%b" % (fixed, apart, len(headers), headers, self.body)


def unpacked(packed: bytes) -> Stored | None:
    """Return the entry that was packed; None for anything else."""
    if packed[:1] != FORMAT or len(packed) < _FIXED.size:
        return None
    try:
        return _read(packed)
    except ValueError:
        return None


def _read(packed: bytes) -> Stored | None:
    fixed = _FIXED.unpack_from(packed)
    position = _FIXED.size
    parts = []
    for length in fixed[7:]:
        parts.append(packed[position : position + length])
        position += length
    generation, vary, selecting, body_id = parts
    headers_at = packed.index(b"\n", position) + 1
    body_at = headers_at + int(packed[position : headers_at - 1])
    lines = packed[headers_at:body_at]
    body = packed[body_at:]
    length = fixed[6]
    if len(body) != (0 if body_id else length):
        return None
    headers = Headers()
    for line in lines.split(b"\n") if lines else ():
        name, _, value = line.partition(b":")
        headers.append((name, value))
    return Stored(
        status=fixed[5],
        headers=headers,
        request_time=fixed[1],
        response_time=fixed[2],
        initial_age_s=fixed[3],
        lifetime_s=fixed[4],
        body_length=length,
        body=body,
        body_id=body_id,
        vary=tuple(vary.split(b",")) if vary else (),
        selecting=selecting,
        generation=generation,
    )
