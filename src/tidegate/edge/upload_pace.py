"""Whether a client sends its body fast enough to be worth the connection it holds upstream.

A body that brings a byte within each timeout would never end and pin a connection of a service's
pool; a few hundred such clients fill it. So each window of waiting for the client must bring its
share of bytes. Windows, not an average from the start: else a fast first megabyte would pay for
hours of nothing. Only waiting counts: while nobody wants the body, the client is not to blame.
"""

from tidegate.config import EdgeBounds
from tidegate.http.errors import RequestTimeout


class UploadPace:
    """Of one body. Pure: it is told how long the client was waited for."""

    __slots__ = ("_awaited_s", "_bytes_a_second", "_bytes_before", "_window_s")

    def __init__(self, bounds: EdgeBounds) -> None:
        self._bytes_a_second = bounds.body_rate_min
        self._window_s = bounds.body_timeout
        self._awaited_s = 0.0
        self._bytes_before = 0

    def is_behind(self, awaited_s: float, received_bytes: int) -> bool:
        """Count `awaited_s` more of waiting, after which `received_bytes` are here in all.

        Return whether a whole window has passed that brought too little.
        """
        self._awaited_s += awaited_s
        if self._awaited_s < self._window_s:
            return False
        wanted_bytes = self._awaited_s * self._bytes_a_second
        is_behind = received_bytes - self._bytes_before < wanted_bytes
        self._awaited_s = 0.0
        self._bytes_before = received_bytes
        return is_behind


def too_slow(bounds: EdgeBounds) -> RequestTimeout:
    return RequestTimeout(f"The body must bring {bounds.body_rate_min} bytes a second")
