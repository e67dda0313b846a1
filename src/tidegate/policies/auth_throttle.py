"""Bounds guessing: after so many failed authentications of an address, its keys are not looked up.

Counted in the store by the limits' own script, hence exactly over all workers and machines: of
`20/m` 20 failures are answered with 401, then one in 3 s, and all others with 429. A worker learns
that an address is over with its own first failure from there, so beyond those 20 each worker looks
up at most one key in each wait; keys that come while one is being looked up are looked up as well,
since nobody has failed yet. Each worker counts for itself as well, which is what holds while
the store is down. A key that has been found before is not held up: it is no guess, and a wrong key
somewhere in an office must not stop what works there. Only failures come here.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Final

from tidegate.config import Rate, TokenBucket
from tidegate.http.errors import StoreUnavailable, TooManyRequests
from tidegate.rate_limiter import Limiter, Subject
from tidegate.store import CommandFailed

KEY_PREFIX: Final = b"tg:auth-failures:"
ADDRESSES_MAX: Final = 10_000
"""Addresses a worker remembers, about 0.2 KB each. Who fails longest ago is forgotten first, and
learned of anew from the store with its next failure."""

LOST_BY_FLOATS_S: Final = 1e-6


class AuthThrottled(TooManyRequests):
    slug = "auth-throttled"
    title = "Too many failed authentications from this address"


class AuthThrottle:
    """What one worker knows of addresses that fail. `rate` may be reached at once, as a burst."""

    def __init__(
        self, rate: Rate, limiter: Limiter, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        bucket = TokenBucket(name="auth-failures", rate=rate, burst=rate.count)
        self._limiter = limiter
        self._subject = limiter.subject("", "", (bucket,))
        self._clock = clock
        self._period_s = rate.period_s
        self._failure_s = rate.period_s / rate.count
        self._clear_at: dict[bytes, float] = {}
        """When all failures of an address will have drained: a bucket's whole state (GCRA)."""

    def check(self, address: bytes) -> None:
        """Raise AuthThrottled if nothing more of this address may be looked up now."""
        clear_at = self._clear_at.get(address)
        if clear_at is not None:
            wait_s = clear_at + self._failure_s - self._period_s - self._clock()
            if wait_s > LOST_BY_FLOATS_S:
                raise _throttled(ceil(wait_s - LOST_BY_FLOATS_S))

    async def failed(self, address: bytes) -> None:
        """Count one failure; raise AuthThrottled if it is one too many."""
        self.check(address)
        now = self._clock()
        self._keep(address, max(now, self._clear_at.get(address, now)) + self._failure_s)
        subject = self._subject_of(address)
        try:
            reply = await self._limiter.ask(subject, 1)
            decision = self._limiter.decision(subject, 1, reply)
        except (StoreUnavailable, CommandFailed):
            return  # this worker's own count stands
        state = decision.states[0]
        if state.remaining == 0:
            self._keep(address, self._clock() + state.reset_s + self._period_s - self._failure_s)
        if not decision.allowed:
            raise _throttled(state.reset_s)

    def _keep(self, address: bytes, clear_at: float) -> None:
        clear_at = max(clear_at, self._clear_at.pop(address, 0.0))
        if len(self._clear_at) >= ADDRESSES_MAX:
            del self._clear_at[next(iter(self._clear_at))]
        self._clear_at[address] = clear_at

    def _subject_of(self, address: bytes) -> Subject:
        return replace(self._subject, keys=(KEY_PREFIX + address,), calls={})


def _throttled(wait_s: int) -> AuthThrottled:
    return AuthThrottled(
        f"Too many keys from this address were not known. Try again in {wait_s} s",
        headers=((b"retry-after", b"%d" % wait_s),),
    )
