"""Rates, durations and sizes as people write them: `5/s`, `1000/day`, `50ms`, `1GiB`.

Values are exact: a duration is whole microseconds, a size whole bytes, a rate a count per period.
"""

import re
from dataclasses import dataclass
from typing import Final

PERIODS: Final = {
    "s": "second",
    "sec": "second",
    "second": "second",
    "m": "minute",
    "min": "minute",
    "minute": "minute",
    "h": "hour",
    "hour": "hour",
    "d": "day",
    "day": "day",
    "mo": "month",
    "month": "month",
}
"""Every accepted spelling of a period, and its long word."""

PERIOD_S: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000}
"""Seconds in a period. A month has no fixed length: 30 days where a rate needs one (a calendar
quota counts real months)."""

_DURATION_US: Final = {
    "us": 1,
    "ms": 1000,
    "s": 10**6,
    "m": 60 * 10**6,
    "h": 3600 * 10**6,
    "d": 86_400 * 10**6,
}
_SIZE: Final = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_CHARACTERS_MAX: Final = 32
_RATE: Final = re.compile(r"([0-9]+)\s*/\s*([a-z]+)")
_AMOUNT: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?\s*([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests per `period`, which is one of the long words of PERIODS."""

    count: int
    period: str

    @property
    def period_s(self) -> int:
        return PERIOD_S[self.period]

    def __str__(self) -> str:
        return f"{self.count}/{self.period}"


def parse_rate(text: str) -> Rate:
    """Parse `COUNT/PERIOD`; raise ValueError with what would be right."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a count and a period, such as 5/s, 30/m, 100/h or 1000/day")
    word = match[2]
    # Only words have a plural: 5/ms is no rate by the minute.
    period = PERIODS.get(word.removesuffix("s") if len(word) > 3 else word)
    if period is None:
        raise ValueError("the period is second, minute, hour, day or month (s, m, h, d, mo)")
    if len(match[1]) > 10 or not 1 <= int(match[1]) <= 10**9:
        raise ValueError("the count must be between 1 and 1000000000")
    return Rate(int(match[1]), period)


def parse_duration_s(text: str) -> float:
    """Parse `50ms`, `1.5s`, `2m`, `1h` into seconds; raise ValueError with what would be right."""
    return _amount(text, _DURATION_US, "write a number and a unit, such as 50ms, 10s, 2m") / 10**6


def parse_size(text: str) -> int:
    """Parse `64KiB`, `1GiB` or a plain number into bytes; raise ValueError likewise."""
    return _amount(text, _SIZE, "write a number of bytes or a size, such as 32KiB or 1GiB")


def _amount(text: str, units: dict[str, int], right: str) -> int:
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len(text) > _CHARACTERS_MAX:
        raise ValueError(right)
    fraction = match[2] or ""
    if not match[3] and int(match[1] + fraction) == 0:
        return 0
    if match[3] not in units:
        raise ValueError(right)
    unit = units[match[3]]
    scaled = int(match[1] + fraction) * unit
    whole, rest = divmod(scaled, int(10 ** len(fraction)))
    if rest:
        raise ValueError(right)
    return whole
