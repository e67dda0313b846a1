"""What one worker may let pass by itself while the store is away: its part of each limit.

The rules are the script's (decide.lua), in the script's whole numbers, and so is the reply. A part
of a limit is the same limit in which every cost weighs as much as there are workers: with N of
them, N parts that begin at what was left admit together what the limit would have from there on. A
part in which nothing is spent admits any cost that the limit itself can hold; so where a cost is
more than one part holds (burst 2, four workers), N workers may admit N such costs at once. Pure:
the time in µs since 1970 is an argument.
"""

from collections import deque
from collections.abc import Callable, Container, Sequence
from itertools import accumulate
from typing import Final, Protocol

from tidegate.rate_limiter.units import SECOND_US

WINDOW_ENTRIES_MAX: Final = 1000
"""As in the script: of a larger limit, what is spent within a thousandth of the window shares one
entry, with the later time."""


class Part(Protocol):
    """A worker's part of one limit."""

    capacity: int
    """Of the whole limit."""

    def wait_us(self, cost: int, now: int) -> int:
        """Return how long until `cost`, at most the capacity, is admitted; 0: it is now."""

    def spend(self, cost: int, now: int) -> None: ...

    def left(self, now: int) -> int:
        """Return how much would be admitted at once."""

    def reset_us(self, now: int) -> int:
        """Return how long until more is left; 0: it is full."""

    def learn(self, remaining: int, at: int) -> None:
        """Take what the store said was left of the whole limit at `at`, and never more than is
        left here."""

    def unsettled(self, now: int) -> int:
        """Return how much was spent here that the store does not know and that counts still."""

    def settle(self, amount: int, now: int) -> None:
        """Take that the store knows of so much more."""


class BucketPart:
    """A debt that drains: `rate` units a µs, a token of the whole limit weighs `emission`."""

    __slots__ = ("_at", "_debt", "_emission", "_known", "_parts", "_rate", "capacity")

    def __init__(self, capacity: int, rate: int, emission: int, parts: int) -> None:
        self.capacity = capacity
        self._rate = rate
        self._emission = emission
        self._parts = parts
        self._debt = self._at = self._known = 0
        """`_known` is the part of the debt that the store knows; it drains as well."""

    def wait_us(self, cost: int, now: int) -> int:
        over = self._debt_at(now) - max(0, self._full - cost * self._weight)
        return -(-over // self._rate) if over > 0 else 0

    def spend(self, cost: int, now: int) -> None:
        self._pass_to(now)
        self._debt += cost * self._weight

    def left(self, now: int) -> int:
        debt = self._debt_at(now)
        return max(0 if debt else 1, (self._full - debt) // self._weight)

    def reset_us(self, now: int) -> int:
        return self.wait_us(self.left(now) + 1, now) if self._debt_at(now) else 0

    def learn(self, remaining: int, at: int) -> None:
        known = (self.capacity - remaining) * self._emission
        if at > self._at:
            self._pass_to(at)
        else:
            known = max(0, known - (self._at - at) * self._rate)
        self._known = max(self._known, known)
        self._debt = max(self._debt, known)

    def unsettled(self, now: int) -> int:
        drained = max(0, now - self._at) * self._rate
        own = max(0, self._debt - drained) - max(0, self._known - drained)
        return (2 * own + self._weight) // (2 * self._weight)  # to the nearest token

    def settle(self, amount: int, now: int) -> None:
        self._pass_to(now)
        self._known += amount * self._weight

    @property
    def _full(self) -> int:
        return self.capacity * self._emission

    @property
    def _weight(self) -> int:
        return self._parts * self._emission

    def _debt_at(self, now: int) -> int:
        # A clock that went back makes nothing drain, and takes nothing back.
        return max(0, self._debt - max(0, now - self._at) * self._rate)

    def _pass_to(self, now: int) -> None:
        drained = max(0, now - self._at) * self._rate
        self._debt = max(0, self._debt - drained)
        self._known = max(0, self._known - drained)
        self._at = now


class QuotaPart:
    """What is spent until the end of a window; `end_after(now)` tells when that is."""

    __slots__ = ("_end", "_end_after", "_known", "_parts", "_spent", "capacity")

    def __init__(self, capacity: int, end_after: Callable[[int], int], parts: int) -> None:
        self.capacity = capacity
        self._end_after = end_after
        self._parts = parts
        self._end = self._spent = self._known = 0

    def wait_us(self, cost: int, now: int) -> int:
        self._pass_to(now)
        room = max(0, self.capacity - cost * self._parts)
        return self._end - now if self._spent > room else 0

    def spend(self, cost: int, now: int) -> None:
        self._pass_to(now)
        self._spent += cost * self._parts

    def left(self, now: int) -> int:
        self._pass_to(now)
        return max(0 if self._spent else 1, (self.capacity - self._spent) // self._parts)

    def reset_us(self, now: int) -> int:
        self._pass_to(now)
        return self._end - now

    def learn(self, remaining: int, at: int) -> None:
        self._pass_to(at)
        known = self.capacity - remaining if self._end_after(at) == self._end else 0
        self._known = max(self._known, known)
        self._spent = max(self._spent, known)

    def unsettled(self, now: int) -> int:
        self._pass_to(now)
        return max(0, self._spent - self._known) // self._parts

    def settle(self, amount: int, now: int) -> None:
        self._pass_to(now)
        self._known += amount * self._parts

    def _pass_to(self, now: int) -> None:
        """Begin a window where one has ended: it stays should the clock go back."""
        if now >= self._end:
            self._end = self._end_after(now)
            self._spent = self._known = 0


class WindowPart:
    """What was spent in the last `length` µs, entry by entry."""

    __slots__ = ("_entries", "_known", "_length", "_parts", "_slot", "_spent", "capacity")

    def __init__(self, capacity: int, length: int, parts: int) -> None:
        self.capacity = capacity
        self._length = length
        self._parts = parts
        self._slot = -(-length // WINDOW_ENTRIES_MAX) if capacity > WINDOW_ENTRIES_MAX else 1
        self._entries: deque[list[int]] = deque()
        """When it was spent, and how much."""
        self._spent = 0
        self._known = (0, 0)
        """The entry of what the store knows."""

    def wait_us(self, cost: int, now: int) -> int:
        self._pass_to(now)
        over = self._spent - max(0, self.capacity - cost * self._parts)
        if over <= 0:
            return 0
        gone = accumulate(amount for _, amount in self._entries)
        leaving = zip(self._entries, gone, strict=True)
        return next(at + self._length - now for (at, _), amount in leaving if amount >= over)

    def spend(self, cost: int, now: int) -> None:
        self._pass_to(now)
        self._add(now, cost * self._parts)

    def left(self, now: int) -> int:
        self._pass_to(now)
        return max(0 if self._spent else 1, (self.capacity - self._spent) // self._parts)

    def reset_us(self, now: int) -> int:
        self._pass_to(now)
        return self.wait_us(self.left(now) + 1, now) if self._spent else 0

    def learn(self, remaining: int, at: int) -> None:
        self._pass_to(at)
        known = self.capacity - remaining - self._spent
        if known > 0:
            self._add(at, known)
            self._known = at, self._known_at(at) + known

    def unsettled(self, now: int) -> int:
        self._pass_to(now)
        return max(0, self._spent - self._known_at(now)) // self._parts

    def settle(self, amount: int, now: int) -> None:
        self._known = now, self._known_at(now) + amount * self._parts

    def _known_at(self, now: int) -> int:
        at, known = self._known
        return known if now < at + self._length else 0

    def _add(self, at: int, amount: int) -> None:
        self._spent += amount
        last = self._entries[-1] if self._entries else None
        if last is None or last[0] // self._slot < at // self._slot:
            self._entries.append([at, amount])
        else:  # should the clock have gone back, it counts as long as what came before
            last[0] = max(last[0], at)
            last[1] += amount

    def _pass_to(self, now: int) -> None:
        while self._entries and self._entries[0][0] + self._length <= now:
            self._spent -= self._entries.popleft()[1]


class LeasePart:
    """How many requests run at a time; `held` tells how many of this worker's do."""

    __slots__ = ("_held", "_lasts_us", "_parts", "_taken", "capacity")

    def __init__(self, capacity: int, lasts_us: int, parts: int, held: Callable[[], int]) -> None:
        self.capacity = capacity
        self._lasts_us = lasts_us
        self._parts = parts
        self._held = held
        self._taken = 0
        """By the decision that is being made: it is held when that is known."""

    def wait_us(self, cost: int, now: int) -> int:
        self._taken = 0
        is_over = self._held() * self._parts > max(0, self.capacity - cost * self._parts)
        return self._lasts_us if is_over else 0

    def spend(self, cost: int, now: int) -> None:
        self._taken = cost

    def left(self, now: int) -> int:
        held = self._held() + self._taken
        return max(0 if held else 1, (self.capacity - held * self._parts) // self._parts)

    def reset_us(self, now: int) -> int:
        return self._lasts_us if self._held() + self._taken else 0

    def learn(self, remaining: int, at: int) -> None:
        """What runs here is known without the store."""

    def unsettled(self, now: int) -> int:
        """Return 0: leases that are held are renewed, also where the store has them not."""
        return 0

    def settle(self, amount: int, now: int) -> None:
        """There is nothing to settle."""


def decide(
    parts: Sequence[Part], costs: Sequence[int], now: int, shadows: Container[int] = ()
) -> list[int]:
    """Return what the script would reply: all of `parts` admit, or none is spent.

    `costs` has the cost in each part's unit, `shadows` the places of those that never refuse.
    """
    asked = tuple(zip(parts, costs, strict=True))
    waits_us = [part.wait_us(cost, now) if cost <= part.capacity else None for part, cost in asked]
    admitted = all(wait_us == 0 or place in shadows for place, wait_us in enumerate(waits_us))
    reply = [int(admitted)]
    for place, ((part, cost), wait_us) in enumerate(zip(asked, waits_us, strict=True)):
        if admitted and wait_us == 0:
            part.spend(cost, now)
        left = part.left(now)
        would_refuse = wait_us != 0 and place in shadows
        reply += (
            -1 - left if would_refuse else left,
            -(-(wait_us or part.reset_us(now)) // SECOND_US),
        )
    return reply
