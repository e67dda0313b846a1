"""Decisions without the store: what becomes of a request whose limits cannot be asked.

`closed` refuses it with the store's own 503, `open` lets it through, `local` decides by the
worker's part of its limits (local_limits.py). Every such answer says so, each is counted, and the
log has one line when an outage begins and one when it has ended: while a store comes and goes, that
is one outage. When it is back it is told what was spent meanwhile (recovery.py).
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final

from tidegate.config.schema import StoreFailure
from tidegate.http.headers import HeaderField
from tidegate.rate_limiter.decision import decision
from tidegate.rate_limiter.limits import Costs, Subject, compiled_subject
from tidegate.rate_limiter.local_limits import LocalLimits
from tidegate.rate_limiter.plain_decision import Decision
from tidegate.rate_limiter.recovery import Charge, Recovery
from tidegate.rate_limiter.units import SECOND_US
from tidegate.store import Store

logger = logging.getLogger("tidegate.limits")

DEFAULT: Final[StoreFailure] = "local"
FIELD: Final = b"tidegate-degraded"
FIELDS: Final[dict[StoreFailure, HeaderField]] = {
    "open": (FIELD, b"open"),
    "local": (FIELD, b"local"),
}
CALM_S: Final = 2.5
"""An outage has ended when the store has decided all for so long: longer than the longest pause
between two attempts to reach it, so that a store that comes and goes has one."""

LOOK_S: Final = 0.02
"""While there is an outage, how often is looked whether the store is back: what it admits before it
is told of what was spent meanwhile may be too much."""
LEASE_BYTES: Final = 14
_UNLIMITED: Final = compiled_subject(())


class Degraded:
    """Of one worker; `close` it with its loop."""

    def __init__(self, store: Store, charge: Charge) -> None:
        self.workers, self.knows_workers = 1, False
        """How many there are, as last known."""
        self.decisions: dict[StoreFailure, int] = {"open": 0, "closed": 0, "local": 0}
        """Made without the store, by how."""
        self._store = store
        self.held: Callable[[bytes], int] = lambda _: 0
        """How many requests of this worker have a lease in a set: whoever holds them tells."""
        self._local = LocalLimits(lambda: self.workers, lambda leases: self.held(leases))
        self._recovery = Recovery(self._local, charge)
        self._before: dict[StoreFailure, int] = {}
        """The counts when the outage began."""
        self._began_at = self._last_at = self._settled_at = 0.0
        self._was_down = False
        self._looking: asyncio.TimerHandle | None = None

    def note_workers(self, count: int) -> None:
        """Take how many workers there are: this one's part is among them."""
        self.workers, self.knows_workers = count, True

    def decision(
        self, subject: Subject, costs: Costs, mode: StoreFailure, why: str
    ) -> Decision | None:
        """Return what the mode makes of a store that cannot be asked; None: nothing."""
        self._note(mode, why)
        if mode == "closed":
            return None
        made = decision(_UNLIMITED, costs, [1]) if mode == "open" else self._decided(subject, costs)
        made.headers = (*made.headers, FIELDS[mode])
        made.degraded = mode
        return made

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def _decided(self, subject: Subject, costs: Costs) -> Decision:
        now = _now_us()
        said_at = now - round((time.perf_counter() - subject.last[1]) * SECOND_US)
        reply: list[Any] = list(self._local.decide(subject, costs, now, said_at))
        if subject.leases and reply[0]:
            reply.append(os.urandom(LEASE_BYTES))
        return decision(subject, costs, reply)

    def _note(self, mode: StoreFailure, why: str) -> None:
        loop = asyncio.get_running_loop()
        self._last_at = loop.time()
        if self._looking is None:
            self._began_at, self._before = self._last_at, dict(self.decisions)
            self._was_down = True
            self._looking = loop.call_later(LOOK_S, self._look)
            logger.warning(
                "Limits are decided without the store (on_store_failure: %s, 1 of %d workers): %s",
                mode, self.workers, why,
            )  # fmt: skip
        self.decisions[mode] += 1

    def _look(self) -> None:
        """Settle when the store is back, and once more when it has been for long."""
        loop = asyncio.get_running_loop()
        now, is_up = loop.time(), self._store.is_up
        is_calm = now - self._last_at >= CALM_S
        is_settled = self._settled_at > self._last_at
        if is_up and (self._was_down or (is_calm and not is_settled)):
            self._settled_at, is_settled = now, True
            self._recovery.begin()
        self._was_down = not is_up
        has_more = is_up and self._recovery.go_on(_now_us())
        if is_up and is_calm and is_settled and not has_more:
            self._end()
        else:
            self._looking = loop.call_later(LOOK_S, self._look)

    def _end(self) -> None:
        self._looking = None
        made = {mode: self.decisions[mode] - before for mode, before in self._before.items()}
        logger.warning(
            "The store decides limits again; without it were decided, in %.1f s: %s",
            self._last_at - self._began_at,
            ", ".join(f"{count} {mode}" for mode, count in made.items() if count),
        )
        self._local.forget()


def _now_us() -> int:
    return time.time_ns() // 1000
