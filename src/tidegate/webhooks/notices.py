"""A worker's part: to see that a quota has reached a share, and to have it written to the outbox.

What this worker has told of a window it does not tell again in it; what others have told, the
outbox knows. An event that the store does not take now is kept and offered again until it does; one
that finds no place in the outbox is offered by a later request, a minute later at the earliest.
Bounded: what does not find room here is counted as lost, and noticed anew by the next request. So
an event is missed only if the process dies between a decision and the write that follows it at
once, and no other request of that window sees the share reached.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tidegate.http import GatewayError
from tidegate.webhooks.event import Counted, body_parts, permille
from tidegate.webhooks.outbox import Outbox

logger: Final = logging.getLogger("tidegate.webhooks")

OFFERED_MAX: Final = 1000
"""Notices that wait for the store: about 1 MB."""
AGAIN_S: Final = 1.0
FULL_S: Final = 60.0
"""For how long an outbox without a place is not asked again about the same quota."""
CLOSE_S: Final = 2.0
MINUTE_S: Final = 60

Reading = tuple[str, tuple[str, ...], float]


class Watched:
    """One quota of one subject, with what this worker has told of it."""

    __slots__ = ("counted", "lowest", "multiple_s", "shares", "told", "told_until")

    def __init__(self, counted: Counted, shares: Sequence[float], period_s: int) -> None:
        """`period_s` is the shortest time between two ends of its windows."""
        self.counted = counted
        self.shares = [
            (permille(share) * counted.quota, permille(share), share) for share in sorted(shares)
        ]
        """What was used a thousand times when a share is reached, the share in 1/1000, the share.
        Whole numbers: 0.7 of 10 is 7."""
        self.lowest = self.shares[0][0]
        self.multiple_s = MINUTE_S if period_s >= MINUTE_S else period_s
        """All ends of windows of a minute or more are whole minutes, in every time zone."""
        self.told = 0
        self.told_until = 0.0

    def reached(self, used_in_1000: int, told: int) -> list[tuple[int, int, float]]:
        """Return the shares beyond `told` that are reached, ascending."""
        return [entry for entry in self.shares if entry[1] > told and used_in_1000 >= entry[0]]


class Notices:
    """Made once for a gateway, on its loop. `look` never waits and never raises."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        again_s: float = AGAIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._again_s = again_s
        self._clock = clock
        self._offers: set[asyncio.Task[None]] = set()
        self._written = 0
        self._dropped = 0
        self._lost = 0

    def look(self, watched: Watched, used: int, reset_s: int, *, refuses: bool = False) -> None:
        """See whether a share is reached; `reset_s` is what is left of the window, rounded up.

        One that `refuses` is used up, though what is left may be a little: a request cost more.
        """
        in_1000 = (watched.counted.quota if refuses else used) * 1000
        if in_1000 < watched.lowest:
            return
        now = self._clock()
        told = watched.told if now < watched.told_until else 0
        reached = watched.reached(in_1000, told)
        if not reached:
            return
        if len(self._offers) >= OFFERED_MAX:
            self._lost += len(reached)
            return
        # A second early: what is left is rounded up, and the next window may begin with a burst.
        watched.told, watched.told_until = reached[-1][1], now + reset_s - 1
        noticed_at = time.time()
        shares = []
        tail = b""
        for _, number, share in reached:
            head, tail = body_parts(watched.counted, share, used, noticed_at)
            shares.append((number, head))
        offer = self._offer(watched, shares, tail, now + reset_s)
        task = asyncio.get_running_loop().create_task(offer, name="webhook notice")
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)

    def readings(self) -> Iterator[Reading]:
        """Yield what was noticed, by what became of it."""
        for outcome, count in (
            ("written", self._written),
            ("dropped", self._dropped),
            ("lost", self._lost),
        ):
            yield "tidegate_webhook_events", (outcome,), count

    async def aclose(self) -> None:
        """Give what is being offered a little time; the store must still be open."""
        if not self._offers:
            return
        _, late = await asyncio.wait(self._offers, timeout=CLOSE_S)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _offer(
        self, watched: Watched, shares: list[tuple[int, bytes]], tail: bytes, ends_at: float
    ) -> None:
        queue, digest, is_in = watched.counted.queue, watched.counted.digest, False
        try:
            while not is_in:
                # Up, as what is left was: the store's clock is read in whole seconds, rounded down.
                left_s = math.ceil(ends_at - self._clock())
                try:
                    written, dropped = await self._outbox.put(
                        queue, digest, left_s, watched.multiple_s, shares, tail
                    )
                except GatewayError as error:
                    logger.debug("an event waits for the store: %s", error)
                    # Jitter spreads what has waited for the same store; it guards no secret.
                    await asyncio.sleep(self._again_s * random.uniform(0.5, 1.5))  # noqa: S311
                    continue
                is_in = True
                self._written += written
                self._dropped += dropped
                if dropped:
                    watched.told_until = min(watched.told_until, self._clock() + FULL_S)
        finally:
            if not is_in:
                self._lost += len(shares)
