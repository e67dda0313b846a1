"""How limits look on the wire: X-RateLimit-* and draft-ietf-httpapi-ratelimit-headers-11.

`RateLimit-Policy: "steady";q=200;w=2` says what a limit allows, `RateLimit: "steady";r=150;t=1`
what is left and in how many seconds there is more. X-RateLimit-Limit, -Remaining and -Reset are
`q`, `r` and `t` of the tightest limit. Retry-After is never earlier than `t` of what refused.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

INTEGER_MAX: Final = 999_999_999_999_999
"""The largest integer of a structured field (RFC 9651, section 3.3.1)."""


class PolicyItem(NamedTuple):
    """One limit in RateLimit-Policy."""

    name: str
    quota: int
    window_s: int | None
    unit: str | None = None
    """None: requests."""


def line_format(capacity: int, policies: Sequence[PolicyItem]) -> bytes:
    """Return a `%` format of all field lines where the limit of `capacity` is the tightest.

    It takes what remains of that limit and its seconds, then both of every limit in turn.
    """
    # Names of limits and units are letters, digits, `_`, `.` and `-`: nothing to escape.
    states = b", ".join(b'"%b";r=%%d;t=%%d' % policy.name.encode() for policy in policies)
    return b"\r\n".join(
        (
            b"x-ratelimit-limit: %d" % capacity,
            b"x-ratelimit-remaining: %d",
            b"x-ratelimit-reset: %d",
            b"ratelimit-policy: " + b", ".join(map(_policy_item, policies)),
            b"ratelimit: " + states,
        )
    )


def _policy_item(policy: PolicyItem) -> bytes:
    item = b'"%b";q=%d' % (policy.name.encode(), policy.quota)
    if policy.unit is not None:
        item += b';qu="%b"' % policy.unit.encode()
    return item if policy.window_s is None else b"%b;w=%d" % (item, policy.window_s)
