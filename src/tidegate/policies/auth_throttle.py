"""Bounds guessing: after so many failed authentications of an address, its keys are not looked up.

Failures are counted in the store by the limits' own script, hence exactly over all workers and
machines: of `20/m` 20 are answered with 401, then one in 3 s, and all others with 429. Each worker
counts for itself too, which holds while the store is down, and learns with each failure of its own
what the store has left. It runs no more look-ups at once than failures are left (auth_turns), so
that guesses that come in parallel are bounded like others: each of W workers looks up at most 20,
and one more in 3 s. Whoever hangs up on a look-up holds its place until it has ended, and has
failed if it did: else keys could be tried without bound by hanging up on each. A key that has been
found before does not come here: it is no guess, and a wrong key somewhere in an office must not
stop what works there.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Any, Final

from tidegate.config import Rate, TokenBucket
from tidegate.http.errors import PROBLEM_TYPES, StoreUnavailable, TooManyRequests
from tidegate.policies.auth_turns import HAS_PLACE, Turns
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.rate_limiter import Counter, Limiter, Subject
from tidegate.store import CommandFailed

KEY_PREFIX: Final = b"tg:auth-failures:"
ADDRESSES_MAX: Final = 10_000
"""Addresses a worker remembers, about 0.2 KB each. Who fails longest ago is forgotten first, and
learned of anew from the store with its next failure."""

ONE: Final = (1,)

WAIT_MAX_S: Final = 1.0
"""For one's turn: the shortest time that Retry-After can tell, and what a store that answers within
its 50 ms needs for 20 turns one by one."""

LOST_BY_FLOATS_S: Final = 1e-6


class AuthThrottled(TooManyRequests):
    """draft-ietf-httpapi-ratelimit-headers-11 registers the type of this problem."""

    slug = "auth-throttled"
    type_uri = PROBLEM_TYPES + "abnormal-usage-detected"
    title = "Too many failed authentications from this address"


class AuthThrottle:
    """What one worker knows of addresses that fail. `rate` may be reached at once, as a burst."""

    def __init__(
        self,
        rate: Rate,
        limiter: Limiter,
        addresses: CountedAddresses,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        bucket = TokenBucket(name="auth-failures", rate=rate, burst=rate.count)
        self.addresses = addresses
        self._limiter = limiter
        self._subject = limiter.subject((Counter(KEY_PREFIX, (bucket,)),))
        self._clock = clock
        self._period_s = rate.period_s
        self._failure_s = rate.period_s / rate.count
        self._clear_at: dict[bytes, float] = {}
        """When all failures of an address will have drained: a bucket's whole state (GCRA)."""
        self._turns: dict[bytes, Turns] = {}
        """Of addresses from which something is being looked up right now."""

    async def enter(self, address: bytes) -> None:
        """Wait until a key of this address may be looked up; `leave` must follow.

        Raises AuthThrottled, and then nothing must follow, if there are no failures left, or if
        too many wait or have waited too long.
        """
        left = self._left(address)
        if left == 0:
            raise _throttled(self._wait_s(address))
        turns = self._turns.get(address)
        if turns is None:
            turns = self._turns[address] = Turns()
        if turns.take(left):
            return
        if turns.is_full:
            raise _crowded()
        wait_s = await self._turn(address, turns)
        if wait_s != HAS_PLACE:
            raise _throttled(wait_s)

    def leave(self, address: bytes) -> None:
        """Give the place back, whatever came of the look-up, to who waits for one."""
        turns = self._turns[address]
        if turns.end():
            turns.pass_on(self._left(address), self._wait_s(address))
        if turns.is_idle:
            del self._turns[address]

    async def failed(self, address: bytes) -> None:
        """Count one failure; raise AuthThrottled if it is one too many."""
        if self._left(address) == 0:
            raise _throttled(self._wait_s(address))
        subject = self._subject_of(address)
        try:
            reply = await self._counted(address, subject)
            decision = self._limiter.decision(subject, ONE, reply)
        except (StoreUnavailable, CommandFailed):
            return  # this worker's own count stands
        state = decision.states[0]
        # As many are left here as there, and the next comes when it does there, within a second.
        next_s = min(state.reset_s, self._failure_s)
        spent_s = self._period_s - (state.remaining + 1) * self._failure_s
        self._keep(address, self._clock() + spent_s + next_s)
        if not decision.allowed:
            raise _throttled(state.reset_s)

    async def _turn(self, address: bytes, turns: Turns) -> int:
        waiter, wait_s = turns.queue(), None
        try:
            async with asyncio.timeout(WAIT_MAX_S):
                wait_s = await waiter
        except TimeoutError:
            raise _crowded() from None
        finally:
            if wait_s is None and turns.abandon(waiter):
                self.leave(address)
        return wait_s

    def _left(self, address: bytes) -> int:
        """Return how many failures the address has left, as far as this worker knows."""
        return int((self._room_s(address) + LOST_BY_FLOATS_S) / self._failure_s)

    def _wait_s(self, address: bytes) -> int:
        """Return in how many seconds, at least one, there will be a failure left."""
        return max(1, ceil(self._failure_s - self._room_s(address) - LOST_BY_FLOATS_S))

    def _room_s(self, address: bytes) -> float:
        now = self._clock()
        return self._period_s - max(0.0, self._clear_at.get(address, now) - now)

    def _counted(self, address: bytes, subject: Subject) -> asyncio.Future[Any]:
        """Count a failure here, and ask the store to."""
        now = self._clock()
        self._keep(address, max(now, self._clear_at.get(address, now)) + self._failure_s)
        return self._limiter.ask(subject, ONE)

    def _keep(self, address: bytes, clear_at: float) -> None:
        clear_at = max(clear_at, self._clear_at.pop(address, 0.0))
        if len(self._clear_at) >= ADDRESSES_MAX:
            del self._clear_at[next(iter(self._clear_at))]
        self._clear_at[address] = clear_at

    def _subject_of(self, address: bytes) -> Subject:
        return replace(self._subject, keys=(KEY_PREFIX + address,), calls={})


def _throttled(wait_s: int) -> AuthThrottled:
    return _refusal("Too many keys from this address were not known", wait_s)


def _crowded() -> AuthThrottled:
    return _refusal("Too many keys from this address wait to be looked up", 1)


def _refusal(why: str, wait_s: int) -> AuthThrottled:
    headers = ((b"retry-after", b"%d" % wait_s),)
    return AuthThrottled(f"{why}. Try again in {wait_s} s", headers=headers)
