"""A lease: a request's place in the limits on how many run at a time, until it has ended.

It lies in the store under an id of its own and ends by itself, so that no death of a worker keeps a
place; whoever runs the request renews it while it lasts, and releases it at its end.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    identity: bytes
    places: tuple[tuple[bytes, int], ...]
    """The keys of the store in which it stands, and how long it lasts in each by itself, in µs."""

    @property
    def renew_s(self) -> float:
        """The time after which it shall be renewed: twice before it would end."""
        return min(lasts_us for _, lasts_us in self.places) / 3e6
