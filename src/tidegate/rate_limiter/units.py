"""Whole numbers for the script: how a bucket of any rate and capacity drains without rounding.

A token weighs `emission` units and `rate` units drain in a µs, so that emission / rate is the time
for one token exactly (7/s: 1,000,000 units a token, 7 a µs). Lua computes in doubles, exact up to
2^53; where capacity * emission would pass 2^52 the ratio is rounded up: the bucket is then slow by
less than one part in a million, never fast.
"""

from enum import IntEnum
from fractions import Fraction
from math import ceil, floor
from typing import Final, NamedTuple

from tidegate.config.units import Rate

SECOND_US: Final = 10**6
UNITS_MAX: Final = 2**52
"""What a full bucket may weigh: the sum with one more cost stays below 2^53."""


class Kind(IntEnum):
    """How the script counts: the last bit of a limit's identity."""

    QUOTA = 0
    BUCKET = 1


class Units(NamedTuple):
    """`rate` units drain in a µs; a token weighs `emission` units."""

    kind: Kind
    rate: int
    emission: int


def bucket_units(rate: Rate, capacity: int) -> Units:
    """Return the finest units in which a bucket of `capacity` tokens stays within UNITS_MAX."""
    token_us = Fraction(rate.period_s * SECOND_US, rate.count)
    emission, drained = token_us.numerator, token_us.denominator
    if capacity * emission > UNITS_MAX:
        drained = floor(UNITS_MAX // capacity / token_us)
        emission = ceil(token_us * drained)
    if not drained:
        raise ValueError(f"a bucket of {capacity} tokens at {rate} takes over a century to fill")
    return Units(Kind.BUCKET, drained, emission)
