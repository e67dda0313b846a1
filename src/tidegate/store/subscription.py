"""One server's word on which keys changed: RESP3, `CLIENT TRACKING ON BCAST`, proven by PING.

Own writes come back too (NOLOOP is not set), so a worker's change reaches its own copies by the
same way. What proves that nothing was missed is the reply to a PING: all pushes before it have
arrived, so what is known here is good as of the moment that PING was sent.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from tidegate.http.errors import GatewayError
from tidegate.store.address import Address
from tidegate.store.connection import Connection
from tidegate.store.errors import StoreRefused
from tidegate.store.pipeline import Pipeline
from tidegate.store.sentinel import Sentinels

SILENCE_MAX_S: Final = 0.5
"""Half of the second within which a revoked key must have stopped everywhere."""
PING_PERIOD_S: Final = 0.125
"""Leaves room for three lost or late replies before silence counts."""


class Listener(Protocol):
    """Whom a subscription tells."""

    @property
    def prefixes(self) -> set[bytes]:
        """What is watched."""

    def changed(self, key: bytes) -> None: ...

    def doubted(self) -> None:
        """Any key may have changed."""

    def proven(self) -> None:
        """`verified_until` is later now."""


class Subscription:
    """Construct inside a running loop, `start`, and in the end `aclose`."""

    def __init__(
        self,
        address: Address,
        listener: Listener,
        *,
        before_connect: Callable[[], None] | None = None,
        sentinels: Sentinels | None = None,
    ) -> None:
        self._listener = listener
        self._subscribed: tuple[bytes, ...] = ()
        self.verified_until = 0.0
        """`time.monotonic()` up to which this server is known to have told everything; 0.0: not."""
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
            on_end=self.distrust,
            sentinels=sentinels,
        )

    def start(self) -> None:
        self._pinger = asyncio.create_task(self._ping_forever(), name="store tracking")

    async def aclose(self) -> None:
        pinger, self._pinger = self._pinger, None
        if pinger is not None:
            pinger.cancel()
            await asyncio.wait([pinger])
        await self._connection.aclose()

    @property
    def is_covered(self) -> bool:
        """Whether the server was asked for all that is watched."""
        return all(prefix.startswith(self._subscribed) for prefix in self._listener.prefixes)

    def distrust(self) -> None:
        self.verified_until = 0.0
        self._doubts += 1
        self._listener.doubted()

    async def _subscribe(self, pipeline: Pipeline) -> None:
        """Ask for the shortest prefixes only: the server refuses overlapping ones."""
        wanted = self._listener.prefixes
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
                if not self.is_covered:
                    self._connection.reconnect("The watched prefixes changed")
                sent_at, doubts = time.monotonic(), self._doubts
                await self._connection.execute(b"PING")
            except (GatewayError, StoreRefused):
                self.distrust()
            else:
                if doubts == self._doubts:
                    self.verified_until = sent_at + SILENCE_MAX_S
                    self._listener.proven()
            await asyncio.sleep(PING_PERIOD_S)

    def _push_received(self, push: list[Any]) -> None:
        if not push or push[0] != b"invalidate":
            return
        keys = push[1]
        if keys is None:
            self.distrust()
            return
        for key in keys:
            self._listener.changed(key)
