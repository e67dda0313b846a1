"""How limits look on the wire: X-RateLimit-* and draft-ietf-httpapi-ratelimit-headers-11.

`RateLimit-Policy: "steady";q=200;w=2` says what a limit allows, `RateLimit: "steady";r=150;t=1`
what is left and in how many seconds there is more. X-RateLimit-Limit, -Remaining and -Reset are
`q`, `r` and `t` of the tightest limit. Retry-After is never earlier than `t` of what refused.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tidegate.http.headers import HeaderField

INTEGER_MAX: Final = 999_999_999_999_999
"""The largest integer of a structured field (RFC 9651, section 3.3.1)."""


def limit_field(capacity: int) -> HeaderField:
    """Return X-RateLimit-Limit."""
    return (b"x-ratelimit-limit", b"%d" % capacity)


class PolicyItem(NamedTuple):
    """One limit in RateLimit-Policy."""

    name: str
    quota: int
    window_s: int | None
    unit: str | None = None
    """None: requests."""


def policy_field(policies: Sequence[PolicyItem]) -> HeaderField:
    """Return RateLimit-Policy."""
    return (b"ratelimit-policy", b", ".join(map(_policy_item, policies)))


def service_limit_format(names: Iterable[str]) -> bytes:
    """Return a `%` format for RateLimit: it takes remaining and seconds of every limit in turn."""
    return b", ".join(b'"%b";r=%%d;t=%%d' % name.encode() for name in names)


def _policy_item(policy: PolicyItem) -> bytes:
    # Names of limits and units are letters, digits, `_`, `.` and `-`: nothing to escape.
    item = b'"%b";q=%d' % (policy.name.encode(), policy.quota)
    if policy.unit is not None:
        item += b';qu="%b"' % policy.unit.encode()
    return item if policy.window_s is None else b"%b;w=%d" % (item, policy.window_s)
