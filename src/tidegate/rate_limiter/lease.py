"""A lease: a request's place in the limits on how many run at a time, until it has ended.

It lies in the store under an id of its own and ends by itself, so that no death of a worker keeps a
place; whoever runs the request renews it while it lasts, and releases it at its end.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """`keys` are the sorted sets in which it stands, `durations_us` how long it lasts in each."""

    keys: tuple[bytes, ...]
    identity: bytes
    durations_us: tuple[int, ...]
