"""How an event is signed: Standard Webhooks 1.0.0, symmetric scheme.

What is signed is `{id}.{timestamp}.{body}`, by HMAC-SHA256, in base64 behind `v1,`. The timestamp
is the attempt's, so that a receiver can refuse what is replayed; the id stays the same over all
attempts, so that it can drop what came twice. Several secrets give several signatures, for a change
of secret without a gap. Pure.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

VERSION: Final = "v1"


def signed_headers(event_id: str, at_s: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the fields that identify and sign an attempt to deliver `body`."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signature(event_id, at_s, body, key) for key in keys),
    }


def signature(event_id: str, at_s: int, body: bytes, key: bytes) -> str:
    """Return one signature as it stands in the field."""
    signed = b"%b.%d.%b" % (event_id.encode("ascii"), at_s, body)
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(digest).decode('ascii')}"
