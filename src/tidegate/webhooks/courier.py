"""Delivers what waits in the outbox: at least once, by one process at a time, for so long.

Any number of processes may run one each. What a courier has claimed it must settle before the claim
ends; one that dies settles nothing, and the event is another's. A failure is tried again after the
next of DELAYS_S (Standard Webhooks 1.0.0 has such a schedule), or when Retry-After says, each with
jitter; while nothing at all gets through, a courier takes less and less. An event that is older
than `keep` is given up. What nobody expected to fail is told, and tried again as any failure: no
one else looks after this task.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from tidegate.config.webhooks import Webhooks
from tidegate.http import GatewayError
from tidegate.store import Store
from tidegate.webhooks.outbox import Claimed, Outbox
from tidegate.webhooks.sender import CONNECTIONS_MAX, Attempt, Outcome, Sender

logger: Final = logging.getLogger("tidegate.webhooks")

DELAYS_S: Final = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000)
"""Before the second attempt, the third, and so on; the last for all that follow."""
POLL_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
SETTLING_S: Final = 10.0
"""What a claim lasts beyond the longest attempt."""
CLOSE_S: Final = 2.0

Reading = tuple[str, tuple[str, ...], float]


class Courier:
    """One process's. `run` ends soon after `stop`, with what is under way delivered or not."""

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        settings: Webhooks,
        *,
        delays_s: Sequence[float] = DELAYS_S,
        poll_s: float = POLL_S,
        settling_s: float = SETTLING_S,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._keep_s = settings.keep
        self._claim_s = settings.timeout + settling_s
        self._delays_s = delays_s
        self._poll_s = poll_s
        self._failed_rounds = 0
        self._is_failing = False
        self._stopping = asyncio.Event()
        self._counts = {"delivered": 0, "failed": 0, "gone": 0, "expired": 0}

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = await self._round()
            except GatewayError as error:
                logger.debug("events cannot be fetched now: %s", error)
                pause_s = self._poll_s
            except Exception:
                logger.exception("webhooks: no event could be delivered")
                pause_s = self._longer_pause_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Claim no more events."""
        self._stopping.set()

    def readings(self) -> Iterator[Reading]:
        """Yield the attempts by what became of them."""
        for outcome, count in self._counts.items():
            yield "tidegate_webhook_attempts", (outcome,), count

    async def _round(self) -> float:
        """Deliver what is due now, a few at once; return how long to wait for the next round."""
        events = await self._outbox.claim(CONNECTIONS_MAX, self._claim_s)
        if not events:
            return self._poll_s
        results = await asyncio.gather(*map(self._deliver, events))
        if any(results):
            self._failed_rounds = 0
            return 0.0
        return self._longer_pause_s()

    def _longer_pause_s(self) -> float:
        self._failed_rounds += 1
        return _jittered(min(self._poll_s * 2.0 ** min(self._failed_rounds, 10), PAUSE_MAX_S))

    async def _deliver(self, event: Claimed) -> bool:
        """Try once and settle; return whether the receiver took it."""
        try:
            attempt = await self._sender.send(event.id, event.body)
        except Exception as error:
            logger.exception("webhooks: event %s could not be sent", event.id)
            attempt = Attempt(Outcome.FAILED, type(error).__name__)
        self._tell(attempt)
        self._counts[attempt.outcome.value] += 1
        try:
            await self._settle(event, attempt)
        except GatewayError as error:
            # The claim ends by itself: the event is tried again, although it may have been taken.
            logger.debug("event %s cannot be settled now: %s", event.id, error)
        return attempt.outcome is Outcome.DELIVERED

    async def _settle(self, event: Claimed, attempt: Attempt) -> None:
        if attempt.outcome is Outcome.DELIVERED:
            await self._outbox.done(event)
            return
        delay_s = max(self._delay_s(event.attempt), attempt.retry_after_s)
        if attempt.outcome is Outcome.GONE:
            # Nothing is claimed for this receiver, and at once for another.
            await self._outbox.gone()
            delay_s = 0.0
        if event.age_s + delay_s <= self._keep_s:
            await self._outbox.later(event, delay_s)
            return
        self._counts["expired"] += 1
        logger.error(
            "webhooks: event %s is given up after %d attempts: %s",
            event.id, event.attempt, attempt.why,
        )  # fmt: skip
        await self._outbox.done(event)

    def _delay_s(self, attempt: int) -> float:
        return _jittered(self._delays_s[min(attempt, len(self._delays_s)) - 1])

    def _tell(self, attempt: Attempt) -> None:
        """Say once that the receiver does not take events, and once that it does again."""
        if attempt.outcome is Outcome.DELIVERED:
            if self._is_failing:
                self._is_failing = False
                logger.warning("webhooks: %s takes events again", self._sender.receiver)
        elif attempt.outcome is Outcome.GONE:
            self._is_failing = True
            logger.error(
                "webhooks: %s wants no more events (410 Gone): it is left alone for a day; events "
                "wait until then, or until webhooks.url is another",
                self._sender.receiver,
            )
        elif not self._is_failing:
            self._is_failing = True
            logger.warning(
                "webhooks: %s does not take events: %s. They are tried again",
                self._sender.receiver, attempt.why,
            )  # fmt: skip


@asynccontextmanager
async def delivering(store: Store, settings: Webhooks) -> AsyncIterator[Courier]:
    """Deliver events for as long as the block runs; what is under way at its end gets a moment."""
    outbox = Outbox(store, settings.url, settings.waiting)
    async with Sender(settings) as sender:
        courier = Courier(outbox, sender, settings)
        task = asyncio.create_task(courier.run(), name="webhook courier")
        try:
            yield courier
        finally:
            courier.stop()
            _, late = await asyncio.wait([task], timeout=CLOSE_S)
            if late:
                task.cancel()
                await asyncio.wait(late)


def _jittered(seconds: float) -> float:
    # Spreads what failed at one moment; it guards no secret.
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311
