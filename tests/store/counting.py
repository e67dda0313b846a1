"""Clients that count in the store all the time, and what became of their counts in a fail-over."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from tidegate.store import Script, ScriptCall, Store, StoreUnavailable

COUNT = Script.of("count", "return redis.call('INCR', KEYS[1])")
CLIENTS = 60
PAUSE_S = 0.01
WELL_S = 15.0
"""A fail-over with its election is over by then."""


@dataclass
class Figures:
    counted: int
    failed: int
    reasons: Counter[str]
    gap_s: float
    """The longest time in which one client had no success."""
    lost: int
    """Counted as clients were told, and not there afterwards: what a limit would admit again."""
    beyond: int
    """There, and no client was told so."""
    slowest_s: float


@dataclass
class Counting:
    """Each client has a key of its own, and the keys lie in all slots."""

    store: Store
    clients: int = CLIENTS
    _counted: Counter[int] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)
    _gap_s: float = 0.0
    _slowest_s: float = 0.0
    _stopped: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._count(one)) for one in range(self.clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    @property
    def counted(self) -> int:
        return self._counted.total()

    async def figures(self) -> Figures:
        """Return what became of it, once the store is well again and the clients have stopped."""
        lost = beyond = 0
        for one in range(self.clients):
            held = await self._held(one)
            lost += max(0, self._counted[one] - held)
            beyond += max(0, held - self._counted[one])
        return Figures(
            self.counted,
            self._reasons.total(),
            self._reasons,
            self._gap_s,
            lost,
            beyond,
            self._slowest_s,
        )

    async def _held(self, one: int) -> int:
        """Return what the store has counted; a Cluster may still be electing for another part."""
        deadline = time.monotonic() + WELL_S
        while True:
            try:
                return int(await self.store.execute("GET", _key(one), timeout_s=5) or 0)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def _count(self, one: int) -> None:
        call = ScriptCall(COUNT, (_key(one),), ())
        last = time.monotonic()
        while not self._stopped:
            asked = time.monotonic()
            try:
                await self.store.call(call)
            except StoreUnavailable as error:
                self._reasons[str(error.detail)] += 1
            else:
                self._counted[one] += 1
                self._gap_s = max(self._gap_s, time.monotonic() - last)
                last = time.monotonic()
            self._slowest_s = max(self._slowest_s, time.monotonic() - asked)
            await asyncio.sleep(PAUSE_S)


def _key(one: int) -> bytes:
    return b"tg:count:%d" % one
