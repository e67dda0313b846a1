"""The jobs that are compared: what is asked, and how it is known that the work was done.

A job says what every answer must be and which of upstream and store must have been asked for each:
a round where that does not hold is worth nothing.
"""

from dataclasses import dataclass

KEY = "bench-key"
SPENT_KEY = "spent-key"
"""Its bucket holds one token an hour."""
TOLD_KEY = "told-key"
"""Spent as well, by a limit that warns: such a one asks the store each time."""
LEASED_KEY = "leased-key"
UNKNOWN_KEY = "unknown-key"


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    label: str
    path: str
    key: str = KEY
    status: int = 200
    is_decided: bool = True
    """Whether the store decides on every request; else it is asked at least once a round."""
    is_known: bool = True
    """Whether the key is anybody's."""
    is_proxied: bool = True
    """Whether every answer comes from the upstream; else hardly any does."""


ALLOWED = Job("allowed", "allowed", "/api/widgets/1")
UNAUTHORIZED = Job(
    "401",
    "refused: unknown key (401)",
    "/api/widgets/1",
    UNKNOWN_KEY,
    401,
    is_decided=False,
    is_known=False,
    is_proxied=False,
)
LIMITED = Job(
    "429",
    "refused: limit spent (429)",
    "/api/widgets/1",
    SPENT_KEY,
    429,
    is_proxied=False,
)
LIMITED_EACH = Job(
    "429-each",
    "refused: the store asked each time (429)",
    "/api/widgets/1",
    TOLD_KEY,
    429,
    is_proxied=False,
)
LEASED = Job("leased", "allowed, by a leased limit", "/api/widgets/1", LEASED_KEY, is_decided=False)
HIT = Job("hit", "answered from the cache", "/cached/widgets/1", is_proxied=False)
LARGE = Job("100k", "allowed, body of 100 KiB", "/api/large")

COMMON_JOBS = (ALLOWED, UNAUTHORIZED, LIMITED, HIT, LARGE)
JOBS = (*COMMON_JOBS, LIMITED_EACH, LEASED)
"""With those that the peers have no like of."""
