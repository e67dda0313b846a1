"""Calendars of time zones and billing days, against a search for each day's first moment."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rate_limiter.models import EPOCH, SECOND, calendar_window
from tidegate.config.limits import Quota
from tidegate.config.units import Rate
from tidegate.rate_limiter.calendars import Boundaries, calendar_of, windows_around

HOUR = 3600 * SECOND
ZONES = sorted(available_timezones())


def microseconds(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def quota(period: str, zone: str = "Europe/Berlin", billing_day: int = 1) -> Quota:
    return Quota(name="a", quota=Rate(1, period), time_zone=zone, billing_day=billing_day)


def windows(limit: Quota, now: int) -> tuple[int, ...]:
    calendar = calendar_of(limit)
    assert calendar is not None
    return windows_around(calendar, now)


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", 25),
        ("America/New_York", "2026-03-08T12:00", 23),
        ("America/New_York", "2026-11-01T12:00", 25),
        ("Australia/Lord_Howe", "2026-04-04T16:00", 24.5),
        ("Africa/Cairo", "2026-04-24T12:00", 23),
        ("Asia/Beirut", "2026-03-29T12:00", 23),
        ("Asia/Kolkata", "2026-03-29T12:00", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_of_its_zone_make_it(zone, now, hours) -> None:
    _, start, end, _ = windows(quota("day", zone), microseconds(now))
    assert (end - start) / HOUR == hours


@pytest.mark.parametrize(
    ("billing_day", "now", "start", "end"),
    [
        (15, "2026-02-14T22:59:59", "2026-01-14T23:00", "2026-02-14T23:00"),
        (15, "2026-02-14T23:00", "2026-02-14T23:00", "2026-03-14T23:00"),
        (31, "2026-02-20T00:00", "2026-01-30T23:00", "2026-02-27T23:00"),
        (31, "2028-02-20T00:00", "2028-01-30T23:00", "2028-02-28T23:00"),
        (30, "2026-03-01T00:00", "2026-02-27T23:00", "2026-03-29T22:00"),
        (1, "2026-12-31T23:30", "2026-12-31T23:00", "2027-01-31T23:00"),
    ],
)
def test_a_month_begins_with_its_billing_day(billing_day, now, start, end) -> None:
    _, *found, _ = windows(quota("month", billing_day=billing_day), microseconds(now))
    assert found == [microseconds(start), microseconds(end)]


def test_hours_of_a_zone_that_is_off_by_half_an_hour() -> None:
    _, start, end, _ = windows(quota("hour", "Asia/Kolkata"), microseconds("2026-05-01T10:45"))
    assert (start, end) == (microseconds("2026-05-01T10:30"), microseconds("2026-05-01T11:30"))


moments = st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: (moment - EPOCH) // timedelta(microseconds=1)
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ZONES), st.sampled_from(["day", "month"]), st.integers(1, 31), moments)
def test_windows_are_those_of_the_calendar_and_join(zone, period, billing_day, now) -> None:
    limit = quota(period, zone, billing_day if period == "month" else 1)
    if calendar_of(limit) is None:
        return
    found = windows(limit, now)
    before, start, end, _ = found
    assert (start, end) == calendar_window(limit, now)
    assert windows(limit, start)[1:3] == windows(limit, end - 1)[1:3] == (start, end)
    assert windows(limit, end)[:3] == found[1:]
    assert windows(limit, start - 1)[1:3] == (before, start)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ZONES), moments)
def test_hours_hold_now_and_follow_each_other(zone, now) -> None:
    limit = quota("hour", zone)
    if calendar_of(limit) is None:
        return
    found = windows(limit, now)
    assert found[1] <= now < found[2]
    assert all(0 < later - earlier <= 2 * HOUR for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("zone", "moved_at"),
    [
        ("Australia/Lord_Howe", "2026-10-03T15:30"),  # from 2:00 to 2:30
        ("Australia/Lord_Howe", "2026-04-04T15:00"),  # from 2:00 back to 1:30
        ("Asia/Kathmandu", "1985-12-31T18:30"),  # from 0:00 to 0:15
        ("Asia/Pyongyang", "2015-08-14T15:00"),  # from 0:00 back to 23:30
        ("Antarctica/Troll", "2026-03-29T01:00"),  # from 1:00 to 3:00
        ("Europe/Berlin", "2026-10-25T01:00"),  # from 3:00 back to 2:00
    ],
)
def test_an_hour_begins_when_clocks_show_a_full_one_however_they_move(zone, moved_at) -> None:
    limit, minute = quota("hour", zone), 60 * SECOND
    around = range(microseconds(moved_at) - 6 * HOUR, microseconds(moved_at) + 6 * HOUR, minute)
    times = {at: (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)) for at in around}
    full = [at for at, time in times.items() if time.minute == 0]
    for before, start, end, after in zip(full, full[1:], full[2:], full[3:], strict=False):
        for now in (*range(start, end, 5 * minute), end - 1):
            assert windows(limit, now) == (before, start, end, after)


def test_boundaries_are_kept_for_as_long_as_they_hold() -> None:
    calendar = calendar_of(quota("day"))
    assert calendar is not None
    boundaries = Boundaries((calendar,))
    first = boundaries.packed(microseconds("2026-05-01T10:45"))
    assert boundaries.packed(microseconds("2026-05-01T21:59:59")) is first
    assert boundaries.packed(microseconds("2026-05-01T22:00")) != first
    assert boundaries.packed(microseconds("2026-05-01T21:59:59")) == first
