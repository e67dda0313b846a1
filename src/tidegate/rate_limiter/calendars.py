"""When the windows of a calendar quota begin and end, for a time zone and a billing day.

Time zones are Python's (the IANA database), since the store knows none. The script is handed the
window of the gateway's now with one before and one after it, and chooses by the store's clock: a
gateway's clock may be wrong by as much as a whole window. Days and months begin with the first
moment of a day; a billing day that a month does not have is its last day.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from tidegate.config.schema import Quota
from tidegate.rate_limiter.units import SECOND_US

HOUR_US: Final = 3600 * SECOND_US
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)
CALENDARS_MAX: Final = 4096
BOUNDARY_BYTES: Final = 7


class Calendar(NamedTuple):
    """Whose hours, days or months."""

    period: str
    time_zone: str
    billing_day: int


class Windows(NamedTuple):
    """The first moments, in µs since 1970, of the window before, this one, and the next two."""

    before: int
    start: int
    end: int
    after: int


def calendar_of(quota: Quota) -> Calendar | None:
    """Return the calendar of a quota; None where it is the plain one, UTC, which needs none."""
    if quota.time_zone == "UTC" and quota.billing_day == 1:
        return None
    return Calendar(quota.quota.period, quota.time_zone, quota.billing_day)


class Boundaries:
    """The windows of some calendars, packed for the script, as long as they hold."""

    __slots__ = ("_calendars", "_from", "_packed", "_until")

    def __init__(self, calendars: tuple[Calendar, ...]) -> None:
        self._calendars = calendars
        self._from = self._until = 0
        self._packed = b""

    def packed(self, now: int) -> bytes:
        if not self._from <= now < self._until:
            windows = [windows_around(calendar, now) for calendar in self._calendars]
            self._from = max((window.start for window in windows), default=0)
            self._until = min((window.end for window in windows), default=2**63)
            self._packed = b"".join(
                moment.to_bytes(BOUNDARY_BYTES) for window in windows for moment in window
            )
        return self._packed


def windows_around(calendar: Calendar, now: int) -> Windows:
    """Return the windows around `now`."""
    if calendar.period == "hour":
        return _hours(calendar, now)
    return _days(calendar, now)


def _hours(calendar: Calendar, now: int) -> Windows:
    """An hour begins when the clocks of its zone show a full one, and lasts until they do again:
    where they move by a part of an hour in between, longer or shorter than one."""
    zone = ZoneInfo(calendar.time_zone)
    start = _hour_around(zone, now)
    end = _hour_after(zone, start)
    return Windows(_hour_around(zone, start - 1), start, end, _hour_after(zone, end))


def _hour_around(zone: ZoneInfo, moment: int) -> int:
    """Return when the hour began in which `moment` lies."""
    offset = _offset(zone, moment)
    start = moment - (moment + offset) % HOUR_US
    before = _offset(zone, start)
    if before == offset:
        return start
    # Clocks have moved since then, so that it began by what they showed before.
    start = moment - (moment + before) % HOUR_US
    return start if _offset(zone, start) == before else start - HOUR_US


def _hour_after(zone: ZoneInfo, start: int) -> int:
    later = _hour_around(zone, start + HOUR_US)
    return later if later > start else _hour_around(zone, start + 2 * HOUR_US)


def _offset(zone: ZoneInfo, moment: int) -> int:
    """Return how far the zone's clocks are ahead of UTC."""
    local = (EPOCH + moment * MICROSECOND).astimezone(zone)
    return (local.utcoffset() or timedelta()) // MICROSECOND


def _days(calendar: Calendar, now: int) -> Windows:
    zone = ZoneInfo(calendar.time_zone)
    today = (EPOCH + now * MICROSECOND).astimezone(zone).date()
    first = _first_day(calendar, today)
    days = [_day_before(calendar, first), first]
    for _ in range(2):
        days.append(_day_after(calendar, days[-1]))
    return Windows(*(_first_moment(zone, day) for day in days))


def _first_day(calendar: Calendar, day: date) -> date:
    """Return the first day of the window in which `day` lies."""
    if calendar.period == "day":
        return day
    first = _billing_day(calendar, day.year, day.month)
    return first if first <= day else _day_before(calendar, first)


def _day_before(calendar: Calendar, first: date) -> date:
    if calendar.period == "day":
        return first - DAY
    month = first.replace(day=1) - DAY
    return _billing_day(calendar, month.year, month.month)


def _day_after(calendar: Calendar, first: date) -> date:
    if calendar.period == "day":
        return first + DAY
    month = first.replace(day=1) + 31 * DAY
    return _billing_day(calendar, month.year, month.month)


def _billing_day(calendar: Calendar, year: int, month: int) -> date:
    return date(year, month, min(calendar.billing_day, monthrange(year, month)[1]))


@lru_cache(maxsize=CALENDARS_MAX)
def _first_moment(zone: ZoneInfo, day: date) -> int:
    """Return the first moment of a day: midnight, or where clocks skip it, what follows it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (midnight - EPOCH) // MICROSECOND
