"""What is told: a quota that has reached a share named in its `notify`.

An event belongs to one quota of one subject in one window, and to one share. Its id is made of
these, so that whoever notices it, and however often, it is the same event. The window's end is put
in by the store, whose clock decides about windows (see outbox.py): until then an event is what
stands before and after it. Pure.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

TYPE: Final = "quota.share_reached"
PERMILLE: Final = 1000
DIGEST_BYTES: Final = 12
"""96 bits tell the quotas of a fleet apart."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A quota as one subject has it."""

    state: bytes
    """Where the store counts it: what makes subjects differ."""
    counted_in: str
    """The same in words that may be shown: `{acme}:t`, `{a:192.0.2.1}`."""
    limit: str
    quota: int
    period: str
    per: str
    unit: str
    tenant: str | None
    plan: str | None
    key_id: str | None
    """Of who calls; None where others are counted along."""
    route: str | None
    """None: on every route."""

    @property
    def digest(self) -> str:
        """Return the same few characters for the same quota of the same subject.

        How much it is counts: a plan that gives more has shares of its own to reach.
        """
        told = b"\0".join((self.state, self.limit.encode(), b"%d" % self.quota))
        return blake2b(told, digest_size=DIGEST_BYTES).hexdigest()

    @property
    def queue(self) -> str:
        """Return where its events wait: with those of the same limit of the same tenant.

        A limit can have a subject for each value that a client makes up: they are one another's
        burden, and nobody else's.
        """
        whose = (self.tenant, self.plan, self.route, self.limit)
        named = "\0".join(part or "" for part in whose).encode()
        return blake2b(named, digest_size=DIGEST_BYTES).hexdigest()


def body_parts(counted: Counted, share: float, used: int, noticed_at: float) -> tuple[bytes, bytes]:
    """Return the event's JSON before and after the end of its window (seconds since 1970)."""
    told = asdict(counted)
    del told["state"]
    event = {
        "type": TYPE,
        "timestamp": timestamp(noticed_at),
        "data": {**told, "used": used, "share": share},
    }
    text = json.dumps(event, separators=(",", ":")).encode("ascii")
    return text[:-2] + b',"window_end":', b"}}"


def timestamp(at: float) -> str:
    """Return a time as events have it: RFC 3339, in UTC, with milliseconds."""
    written = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return written.replace("+00:00", "Z")


def permille(share: float) -> int:
    """Return a share as the whole number by which ids and the store compare it."""
    return max(1, round(share * PERMILLE))
