"""What clients ask of a simulated fleet: when, and at which gateway. Fixed by its seed.

A limit grows with the fleet (RATE_EACH a gateway and second), so that each gateway of every fleet
has the same work; only `small` is one limit of ten a second, however many gateways there are.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

REGIONS: Final = 3
RATE_EACH: Final = 30.0
"""The limit's tokens a second, for each gateway of the fleet."""
SMALL_RATE: Final = 10.0
ON_S, CYCLE_S, OVERLOAD = 1.0, 3.0, 3.0
"""Bursty: a second at three times the limit, then two of silence."""
HOT_SHARE, HOT_GATEWAYS = 0.8, 0.1
"""Skewed: so much of the traffic comes to this share of the gateways, in a region far from the
store."""

Arrival = tuple[float, int]
"""When a request comes, and to which gateway."""


@dataclass(frozen=True, slots=True)
class Traffic:
    name: str
    words: str
    rate: Callable[[int], float]
    """The limit's rate for a fleet of so many gateways."""
    load: Callable[[float], float]
    """The demand at a time, as a share of the limit's rate."""
    place: Callable[[random.Random, int], int]
    """Which gateway of so many a request comes to."""

    def arrivals(self, gateways: int, seconds: float, seed: int) -> Iterator[Arrival]:
        """A Poisson process of that demand, by thinning one that always has the highest."""
        draws = random.Random(f"{seed} {self.name} {gateways}")
        rate, highest = (
            self.rate(gateways),
            max(self.load(at / 8) for at in range(int(8 * CYCLE_S))),
        )
        now = 0.0
        while (now := now + draws.expovariate(rate * highest)) < seconds:
            if draws.random() * highest < self.load(now):
                yield now, self.place(draws, gateways)


def _anywhere(draws: random.Random, gateways: int) -> int:
    return draws.randrange(gateways)


def _skewed(draws: random.Random, gateways: int) -> int:
    """Regions are dealt out in turn: the gateways of the second, far from the store: 1, 4, ..."""
    hot = max(1, round(gateways * HOT_GATEWAYS))
    if draws.random() < HOT_SHARE:
        return (draws.randrange(hot) * REGIONS + 1) % gateways
    return draws.randrange(gateways)


def _grown(gateways: int) -> float:
    return RATE_EACH * gateways


TRAFFIC: Final = (
    Traffic("steady", "nine tenths of the limit, evenly", _grown, lambda _: 0.9, _anywhere),
    Traffic(
        "bursty",
        "a second at three times the limit, two of silence",
        _grown,
        lambda now: OVERLOAD if now % CYCLE_S < ON_S else 0.0,
        _anywhere,
    ),
    Traffic(
        "skewed",
        "nine tenths of the limit, 80 % of it at a tenth of the gateways, in one region",
        _grown,
        lambda _: 0.9,
        _skewed,
    ),
    Traffic(
        "small",
        "one limit of 10/s for the whole fleet, asked three times as often",
        lambda _: SMALL_RATE,
        lambda _: OVERLOAD,
        _anywhere,
    ),
)
