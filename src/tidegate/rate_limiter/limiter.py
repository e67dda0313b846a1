"""The limiter: one store command decides about all limits of a request.

`ask` queues the script and returns at once, so that the decision travels in the same write as
whatever else the event loop's tick asks of the store. The rules are the script's (decide.lua): it
runs alone in the store and on the store's clock, which is what makes a decision atomic across
all processes and machines.
"""

import asyncio
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

from tidegate.rate_limiter.decision import Decision, LimitState, decision, present_states
from tidegate.rate_limiter.limits import (
    REQUESTS,
    Costs,
    Counter,
    Subject,
    compiled_subject,
    key_state,
    tenant_state,
    tenant_states,
)
from tidegate.store import Script, ScriptCall, Store

DECIDE: Final = Script.of("decide", files(__package__).joinpath("decide.lua").read_text("utf-8"))

CALLS_MAX: Final = 16
"""Packed calls kept for one subject: as many different costs as routes may name before it pays less
to remember them."""
SCAN_COUNT: Final = 1000
RESET_TIMEOUT_S: Final = 5.0
"""A reset walks the whole store; each step of it is short, but no request waits for it."""


class Limiter:
    """Decides, and forgets on demand. Holds no state: all of it is in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def subject(self, counters: Iterable[Counter], units: tuple[str, ...] = (REQUESTS,)) -> Subject:
        """Compile what a request counts in, to be kept for as long as it stays the same.

        `units` says what the numbers of `costs` count, requests first.
        """
        return compiled_subject(counters, units)

    def ask(self, subject: Subject, costs: Costs) -> asyncio.Future[Any]:
        """Queue the decision now; the reply awaits `decision`. Spends if it admits."""
        call = subject.calls.get(costs)
        if call is None:
            call = ScriptCall(DECIDE, subject.keys, subject.arguments(costs))
            if len(subject.calls) < CALLS_MAX:
                subject.calls[costs] = call
        return self._store.call(call)

    def decision(self, subject: Subject, costs: Costs, reply: Any) -> Decision:
        """Return what the reply to `ask` means. Raises StoreUnavailable if it is not one."""
        return decision(subject, costs, reply)

    async def states(self, subject: Subject) -> tuple[LimitState, ...]:
        """Return what is left of each limit, and spend nothing."""
        if not subject.limits:
            return ()
        call = ScriptCall(DECIDE, subject.keys, subject.arguments((0,)))
        return present_states(subject, await self._store.call(call))

    async def reset(self, tenant: str, key_id: str | None = None) -> int:
        """Forget what a key has spent, or a whole tenant with all its keys; return how many
        states were deleted. What a key shares with its tenant stays when only the key is reset.
        """
        if key_id is not None:
            return int(await self._unlink([key_state(tenant, key_id)]))
        deleted = int(await self._unlink([tenant_state(tenant)]))
        cursor = b"0"
        while True:
            cursor, states = await self._store.execute(
                b"SCAN", cursor, b"MATCH", tenant_states(tenant) + b"k:*", b"COUNT", SCAN_COUNT,
                timeout_s=RESET_TIMEOUT_S,
            )  # fmt: skip
            if states:
                deleted += int(await self._unlink(states))
            if cursor == b"0":
                return deleted

    def _unlink(self, states: list[bytes]) -> asyncio.Future[Any]:
        return self._store.execute(b"UNLINK", *states, timeout_s=RESET_TIMEOUT_S)
