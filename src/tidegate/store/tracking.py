"""The store's own word on which keys changed, so that copies in this process may be trusted.

A connection of its own in RESP3 with `CLIENT TRACKING ON BCAST` on the watched prefixes; own writes
come back too (NOLOOP is not set), so a worker's change reaches its own copies by the same way. What
proves that nothing was missed is the reply to a PING: all pushes before it have arrived, so copies
are good as of the moment that PING was sent. `is_live` claims no more than that. Nothing is queued:
a push is handed to the watchers as it is read.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from tidegate.http.errors import GatewayError
from tidegate.store.address import Address
from tidegate.store.connection import Connection
from tidegate.store.pipeline import Pipeline

SILENCE_MAX_S: Final = 0.5
"""Half of the second within which a revoked key must have stopped everywhere."""
PING_PERIOD_S: Final = 0.125
"""Leaves room for three lost or late replies before silence counts."""

Watcher = Callable[[bytes | None], None]


class Tracking:
    """`watch` starts it. All watches of one tick share one subscription."""

    def __init__(
        self, address: Address, *, before_connect: Callable[[], None] | None = None
    ) -> None:
        self._watchers: list[tuple[bytes, Watcher]] = []
        self._subscribed: tuple[bytes, ...] = ()
        self.verified_until = 0.0
        """`time.monotonic()` up to which copies are verified, 0.0 where they are not: `is_live`
        without a call, for who compares it on each request."""
        self._doubts = 0
        """Counts losses of trust: a proof that was under way at one of them proves nothing."""
        self._pinger: asyncio.Task[None] | None = None
        self._connection = Connection(
            address,
            timeout_s=SILENCE_MAX_S,
            name="tidegate-tracking",
            resp3=True,
            before_connect=before_connect,
            prepare=self._subscribe,
            on_push=self._push_received,
            on_end=self._distrust,
        )

    @property
    def is_live(self) -> bool:
        """Whether copies are verified: every change until less than 500 ms ago has been told.

        Reads the clock itself: a process that was stopped wakes up with its copies unverified.
        """
        return time.monotonic() < self.verified_until

    def watch(self, prefix: bytes, on_change: Watcher) -> Callable[[], None]:
        """Call `on_change` with each key under `prefix` that changed, and with None when any may
        have; return a function that ends the watch. Watchers must not raise.
        """
        entry = (prefix, on_change)
        self._watchers.append(entry)
        if self._pinger is None:
            self._pinger = asyncio.create_task(self._ping_forever(), name="store tracking")
        elif not self._is_covered:
            self._distrust()
        return lambda: self._unwatch(entry)

    async def aclose(self) -> None:
        pinger, self._pinger = self._pinger, None
        if pinger is not None:
            pinger.cancel()
            await asyncio.wait([pinger])
        await self._connection.aclose()

    def _unwatch(self, entry: tuple[bytes, Watcher]) -> None:
        with suppress(ValueError):
            self._watchers.remove(entry)

    @property
    def _is_covered(self) -> bool:
        """Whether the server was asked for all that is watched."""
        return all(prefix.startswith(self._subscribed) for prefix, _ in self._watchers)

    async def _subscribe(self, pipeline: Pipeline) -> None:
        """Ask for the shortest prefixes only: the server refuses overlapping ones."""
        wanted = {prefix for prefix, _ in self._watchers}
        shortest = [p for p in wanted if not any(p != q and p.startswith(q) for q in wanted)]
        self._subscribed = tuple(shortest)
        parts: list[bytes] = [b"CLIENT", b"TRACKING", b"ON", b"BCAST"]
        for prefix in shortest:
            parts += (b"PREFIX", prefix)
        await pipeline.execute(*parts)

    async def _ping_forever(self) -> None:
        """Prove liveness over and over; a failure only leaves the proof to grow old."""
        await asyncio.sleep(0)
        self._connection.start()
        while True:
            try:
                await self._connection.wait_up(SILENCE_MAX_S)
                if not self._is_covered:
                    self._connection.reconnect("The watched prefixes changed")
                sent_at, doubts = time.monotonic(), self._doubts
                await self._connection.execute(b"PING")
            except GatewayError:
                self._distrust()
            else:
                if doubts == self._doubts:
                    self._trust(sent_at)
            await asyncio.sleep(PING_PERIOD_S)

    def _push_received(self, push: list[Any]) -> None:
        if not push or push[0] != b"invalidate":
            return
        keys = push[1]
        if keys is None:
            self._distrust()
            return
        for key in keys:
            for prefix, on_change in tuple(self._watchers):
                if key.startswith(prefix):
                    on_change(key)

    def _trust(self, proven_at: float) -> None:
        """Take a proof; where there was none, what was read meanwhile may be stale and is told."""
        if not self.verified_until:
            self._tell_all()
        self.verified_until = proven_at + SILENCE_MAX_S

    def _distrust(self) -> None:
        self.verified_until = 0.0
        self._doubts += 1
        self._tell_all()

    def _tell_all(self) -> None:
        for _, on_change in tuple(self._watchers):
            on_change(None)
