"""Which target a request goes to: round robin, passing over those that just could not be reached.

A synchronous plan over pools; it opens nothing. A failed connect is remembered for a short while,
so that a dead target costs one request its connect timeout and not every other one. If all are
avoided, all are tried: a guess must not refuse anybody.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

AVOIDED_S: Final = 2.0
"""As long as a connect may take by default: then one request tries the target again."""


class Choice(Protocol):
    """What the balancer knows of a pool."""

    @property
    def has_room(self) -> bool: ...


ChoiceT = TypeVar("ChoiceT", bound=Choice)


def _loop_time_s() -> float:
    return asyncio.get_running_loop().time()


class Balancer(Generic[ChoiceT]):
    def __init__(
        self, pools: Sequence[ChoiceT], clock_s: Callable[[], float] = _loop_time_s
    ) -> None:
        self._pools = tuple(pools)
        self._clock_s = clock_s
        self._turn = 0
        self._avoided_until_s: dict[ChoiceT, float] = {}

    def pick(self) -> ChoiceT:
        """Return the pool whose turn it is. One target costs no search."""
        if len(self._pools) == 1:
            return self._pools[0]
        self._turn = (self._turn + 1) % len(self._pools)
        return self._best_first()[0]

    def next_untried(self, tried: Sequence[ChoiceT]) -> ChoiceT | None:
        """Return the best pool that this request has not tried yet, or None."""
        return next((pool for pool in self._best_first() if pool not in tried), None)

    def avoid(self, pool: ChoiceT) -> None:
        """A connect to this target failed."""
        self._avoided_until_s[pool] = self._clock_s() + AVOIDED_S

    def _best_first(self) -> list[ChoiceT]:
        """All pools from whose turn it is: those with room, those that are full, the avoided."""
        if self._avoided_until_s:
            self._forget_old_failures(self._clock_s())
        in_turn = self._pools[self._turn :] + self._pools[: self._turn]
        return sorted(in_turn, key=lambda pool: (pool in self._avoided_until_s, not pool.has_room))

    def _forget_old_failures(self, now_s: float) -> None:
        for pool, until_s in tuple(self._avoided_until_s.items()):
            if until_s <= now_s:
                del self._avoided_until_s[pool]
