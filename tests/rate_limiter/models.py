"""What each kind of limit must answer, in exact fractions and plain lists, on a clock that goes on.

The reference for the larger script. Nothing of it is taken from the code under test but how a limit
is declared: windows are logs of what was spent, calendars are asked day by day.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket

SECOND = 10**6
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BucketModel:
    def __init__(self, limit: TokenBucket) -> None:
        self.capacity = limit.burst
        self.per_us = Fraction(limit.rate.count, limit.rate.period_s * SECOND)
        self.debt, self.at = Fraction(0), 0

    def used(self, now: int) -> Fraction:
        return max(Fraction(0), self.debt - (now - self.at) * self.per_us)

    def spend(self, amount: int, now: int) -> None:
        self.debt, self.at = self.used(now) + amount, now

    def settle(self, difference: int, age: int, now: int) -> None:
        used = self.used(now)
        self.debt = max(Fraction(0), min(used + difference, max(used, Fraction(2 * self.capacity))))
        self.at = now

    def wait_us(self, wanted: int, now: int) -> int:
        return max(0, ceil((self.used(now) + wanted - self.capacity) / self.per_us))

    def next_us(self, now: int) -> int:
        used = self.used(now)
        if not used:
            return 0
        return self.wait_us(max(0, floor(self.capacity - used)) + 1, now)


class WindowModel:
    def __init__(self, limit: SlidingWindow) -> None:
        self.capacity = limit.rate.count
        self.length = limit.rate.period_s * SECOND
        self.slot = ceil(self.length / 1000) if self.capacity > 1000 else 1
        self.spent: list[list[int]] = []
        """[time, amount], the oldest first."""

    def used(self, now: int) -> int:
        return sum(amount for at, amount in self.spent if at + self.length > now)

    def spend(self, amount: int, now: int) -> None:
        self.spent = [each for each in self.spent if each[0] + self.length > now]
        if self.spent and self.spent[-1][0] // self.slot == now // self.slot:
            self.spent[-1] = [now, self.spent[-1][1] + amount]
        else:
            self.spent.append([now, amount])

    def settle(self, difference: int, age: int, now: int) -> None:
        if difference > 0:
            amount = min(difference, 2 * self.capacity - self.used(now))
            if amount > 0:
                self.spend(amount, now)
        elif age < self.length:
            left = -difference
            for each in self.spent:
                if each[0] >= now - age:
                    given = min(left, each[1])
                    each[1] -= given
                    left -= given
            self.spent = [each for each in self.spent if each[1]]

    def wait_us(self, wanted: int, now: int) -> int:
        need = self.used(now) + wanted - self.capacity
        for at, amount in self.spent:
            if at + self.length > now:
                if need <= 0:
                    return 0
                need -= amount
                if need <= 0:
                    return at + self.length - now
        return 0

    def next_us(self, now: int) -> int:
        used = self.used(now)
        return self.wait_us(max(0, self.capacity - used) + 1, now) if used else 0


class QuotaModel:
    def __init__(self, limit: Quota) -> None:
        self.capacity = limit.quota.count
        self.limit = limit
        self.spent, self.end = 0, 0

    def used(self, now: int) -> int:
        return self.spent if now < self.end else 0

    def spend(self, amount: int, now: int) -> None:
        self.spent, self.end = self.used(now) + amount, self.window(now)[1]

    def settle(self, difference: int, age: int, now: int) -> None:
        start, _ = self.window(now)
        if difference < 0 and now - age < start:
            return
        used = self.used(now)
        most = max(used, 2 * self.capacity)
        self.spend(max(0, min(used + difference, most)) - used, now)

    def wait_us(self, wanted: int, now: int) -> int:
        return self.window(now)[1] - now if self.used(now) + wanted > self.capacity else 0

    def next_us(self, now: int) -> int:
        return self.window(now)[1] - now

    def window(self, now: int) -> tuple[int, int]:
        return calendar_window(self.limit, now)


class LeaseModel:
    def __init__(self, limit: Concurrency) -> None:
        self.capacity = limit.concurrency
        self.lasts = round(limit.lease * SECOND)
        self.ends: list[int] = []

    def used(self, now: int) -> int:
        return sum(end > now for end in self.ends)

    def spend(self, amount: int, now: int) -> None:
        self.ends = [end for end in self.ends if end > now] + [now + self.lasts]

    def settle(self, difference: int, age: int, now: int) -> None:
        """A lease is released, not settled."""

    def wait_us(self, wanted: int, now: int) -> int:
        over = self.used(now) + wanted - self.capacity
        alive = sorted(end for end in self.ends if end > now)
        return alive[over - 1] - now if over > 0 else 0

    def next_us(self, now: int) -> int:
        alive = [end for end in self.ends if end > now]
        return min(alive) - now if alive else 0


AnyModel = BucketModel | WindowModel | QuotaModel | LeaseModel


def model_of(limit: Limit) -> AnyModel:
    match limit:
        case TokenBucket():
            return BucketModel(limit)
        case SlidingWindow():
            return WindowModel(limit)
        case Quota():
            return QuotaModel(limit)
        case Concurrency():
            return LeaseModel(limit)


class Model:
    """All limits of a request, all or nothing."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.limits = limits
        self.models = [model_of(limit) for limit in limits]

    def decide(self, wants: Sequence[int], now: int) -> list[int]:
        asked = list(zip(self.limits, self.models, wants, strict=True))
        refuses = [want > 0 and m.used(now) + want > m.capacity for _, m, want in asked]
        admitted = all(
            limit.shadow or not no for (limit, _, _), no in zip(asked, refuses, strict=True)
        )
        reply = [int(admitted)]
        for (limit, model, want), no in zip(asked, refuses, strict=True):
            if admitted and not no and want:
                model.spend(want, now)
            remaining = max(0, floor(model.capacity - model.used(now)))
            waits = no and want <= model.capacity
            wait_us = model.wait_us(want, now) if waits else model.next_us(now)
            reply += [-1 - remaining if no and limit.shadow else remaining, ceil(wait_us / SECOND)]
        return reply

    def settle(self, differences: Sequence[int], age: int, now: int) -> None:
        for model, difference in zip(self.models, differences, strict=True):
            if difference:
                model.settle(difference, age, now)


def calendar_window(quota: Quota, now: int) -> tuple[int, int]:
    """Return start and end of the window around `now`, found by asking one day after another."""
    zone = ZoneInfo(quota.time_zone)
    today = (EPOCH + timedelta(microseconds=now)).astimezone(zone).date()
    if quota.quota.period == "day":
        return first_moment(zone, today), first_moment(zone, today + timedelta(days=1))
    if quota.quota.period == "month":
        start, end = today, today + timedelta(days=1)
        while not _is_billing_day(quota, start):
            start -= timedelta(days=1)
        while not _is_billing_day(quota, end):
            end += timedelta(days=1)
        return first_moment(zone, start), first_moment(zone, end)
    length = quota.quota.period_s * SECOND
    offset = (EPOCH + timedelta(microseconds=now)).astimezone(zone).utcoffset()
    past = (now + (offset or timedelta()) // timedelta(microseconds=1)) % length
    return now - past, now - past + length


def _is_billing_day(quota: Quota, day: date) -> bool:
    is_last = (day + timedelta(days=1)).month != day.month
    return day.day == quota.billing_day or (is_last and day.day < quota.billing_day)


def first_moment(zone: ZoneInfo, day: date) -> int:
    """Return the first µs of a day in a zone, by halving the two days around it."""
    low = (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    low, high = low - 86400 * SECOND, low + 86400 * SECOND
    while low < high:
        middle = (low + high) // 2
        if (EPOCH + timedelta(microseconds=middle)).astimezone(zone).date() >= day:
            high = middle
        else:
            low = middle + 1
    return low
