"""HTTP dates (RFC 9110, section 5.6.7) as seconds since 1970. Anything else is no date.

Strict where mail libraries are not: a date that needs guessing is invalid, and what is invalid
makes a response stale.
"""

import re
from calendar import monthrange, timegm
from functools import lru_cache
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_MONTH: Final = b"(" + b"|".join(_MONTHS) + b")"
_DAY_NAME: Final = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY_NAME: Final = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_TIME: Final = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_IMF_FIXDATE: Final = re.compile(
    _DAY_NAME + rb", ([0-9]{2}) " + _MONTH + rb" ([0-9]{4}) " + _TIME + rb" GMT"
)
_RFC_850: Final = re.compile(
    _LONG_DAY_NAME + rb", ([0-9]{2})-" + _MONTH + rb"-([0-9]{2}) " + _TIME + rb" GMT"
)
_ASCTIME: Final = re.compile(
    _DAY_NAME + rb" " + _MONTH + rb" ([0-9]{2}| [0-9]) " + _TIME + rb" ([0-9]{4})"
)
CENTURY_TURN: Final = 70
"""RFC 850's two digits of a year: from here on 19xx. That form died with that century."""


_BYTES_MAX: Final = len(b"Wednesday, 09-Nov-94 08:49:37 GMT")
_REMEMBERED_COUNT: Final = 256
"""Answers of one second share their Date; reading it costs 3 microseconds."""


def http_date(text: bytes) -> int | None:
    """Return the time that `text` names, in any of the three forms, or None."""
    return _read(text) if len(text) <= _BYTES_MAX else None


@lru_cache(_REMEMBERED_COUNT)
def _read(text: bytes) -> int | None:
    if (match := _IMF_FIXDATE.fullmatch(text)) is not None:
        day, month, year, hour, minute, second = match.groups()
        return _seconds(int(year), month, day, hour, minute, second)
    if (match := _RFC_850.fullmatch(text)) is not None:
        day, month, digits, hour, minute, second = match.groups()
        short = int(digits)
        full = short + (1900 if short >= CENTURY_TURN else 2000)
        return _seconds(full, month, day, hour, minute, second)
    if (match := _ASCTIME.fullmatch(text)) is not None:
        month, day, hour, minute, second, year = match.groups()
        return _seconds(int(year), month, day, hour, minute, second)
    return None


def _seconds(
    year: int, month_name: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes
) -> int | None:
    month = _MONTHS[month_name]
    if year < 1 or not 1 <= int(day) <= monthrange(year, month)[1]:
        return None
    # Second 60 is a leap second; timegm counts it as the next minute's first.
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        return None
    return timegm((year, month, int(day), int(hour), int(minute), int(second)))
