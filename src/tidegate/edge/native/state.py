"""What all connections of one native door share: the core, bounds, the clock, the read buffer.

The clock is coarse on purpose: it moves once a sweep, so that neither a request nor a read asks
for the time, and no request has a timer of its own. What is timed is never cut early: a wait is
over only when a whole sweep more than its bound has passed.
"""

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from tidegate.edge.native.known_fields import KnownFields
from tidegate.edge.pipeline import Pipeline

if TYPE_CHECKING:
    from tidegate.edge.native.connection import Connection

READ_BYTES_MAX: Final = 64 * 1024
"""One read of one connection; uvloop's own buffer would be 256,000."""
SWEEP_S_MAX: Final = 0.5
SWEEP_S_MIN: Final = 0.02


class DoorState:
    """Made once for each NativeServer."""

    def __init__(self, pipeline: Pipeline) -> None:
        bounds = pipeline.config.listen.bounds
        self.handle = pipeline.handle
        self.refused = pipeline.refused
        self._pipeline = pipeline
        self.bounds = bounds
        self.sweep_s = _sweep_s(
            bounds.header_timeout, bounds.keepalive_timeout, bounds.body_timeout
        )
        # A read is parsed before the loop reads again, so one buffer serves all connections.
        self.buffer = bytearray(READ_BYTES_MAX)
        self.view = memoryview(self.buffer)
        self.connections: set[Connection] = set()
        self.on_empty: Callable[[], None] | None = None
        self._of_address: dict[str, int] = {}
        self.is_draining = False
        self.clock = 0.0
        self.clock_step_s = 0.0
        """By how much the clock has moved last."""
        self.date = b""
        """The field and the empty line that ends a head."""
        self.body_bytes_max = 0
        self.known_fields = KnownFields(bounds.header_bytes, bounds.target_bytes)

    def admits(self, address: str) -> bool:
        """Whether one more connection, from `address`, is within the bounds."""
        per_address = self.bounds.connections_per_address
        return len(self.connections) < self.bounds.connections and (
            per_address is None or self._of_address.get(address, 0) < per_address
        )

    def add(self, connection: "Connection") -> None:
        self.connections.add(connection)
        address = connection.client
        self._of_address[address] = self._of_address.get(address, 0) + 1

    def remove(self, connection: "Connection") -> None:
        self.connections.discard(connection)
        address = connection.client
        left = self._of_address.get(address, 0) - 1
        if left > 0:
            self._of_address[address] = left
        else:
            self._of_address.pop(address, None)
        if not self.connections and self.on_empty is not None:
            self.on_empty()

    def tick(self, now: float) -> None:
        """Move the clock, and read anew what changes with time or with the configuration."""
        self.known_fields.forget()
        self.clock_step_s = now - self.clock
        self.clock = now
        self.date = b"date: %b\r\n\r\n" % formatdate(time.time(), usegmt=True).encode()
        self.body_bytes_max = self._pipeline.body_bytes_max


def _sweep_s(*timeouts_s: float) -> float:
    """A quarter of the shortest timeout, so that each holds to within a half of itself."""
    return max(SWEEP_S_MIN, min(SWEEP_S_MAX, *(timeout_s / 4 for timeout_s in timeouts_s)))
