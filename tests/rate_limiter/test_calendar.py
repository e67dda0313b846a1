"""Calendar windows as the script computes them, against Python's calendar."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.config.schema import Quota
from tidegate.config.units import Rate
from tidegate.rate_limiter.limits import caller_counters, compiled_subject

SECOND = 10**6
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LENGTHS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


def end_of_window(period: str, moment: datetime) -> datetime:
    if period == "month":
        return datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
    return EPOCH + ((moment - EPOCH) // LENGTHS[period] + 1) * LENGTHS[period]


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def subject_of(period: str):
    return compiled_subject(
        caller_counters("acme", "k", (Quota(name="a", quota=Rate(10, period)),))
    )


EDGES = [
    "2024-02-28T23:59:59.999999",
    "2024-02-29T00:00:00",
    "2024-02-29T23:59:59.999999",
    "2024-03-01T00:00:00",
    "2025-02-28T23:59:59.999999",
    "2025-03-01T00:00:00",
    "2025-12-31T23:59:59.999999",
    "2026-01-01T00:00:00",
    "2000-02-29T12:00:00",
    "2100-02-28T23:59:59.999999",
    "2100-03-01T00:00:00",
    "1970-01-01T00:00:00",
]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("period", [*LENGTHS, "month"])
def test_windows_end_where_the_calendar_says(decide, period: str, edge: str) -> None:
    moment = datetime.fromisoformat(edge).replace(tzinfo=UTC)
    left = end_of_window(period, moment) - moment
    assert decide(subject_of(period), 1, microseconds(moment)) == [
        1,
        9,
        -(-left // LENGTHS["second"]),
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([*LENGTHS, "month"]),
    st.datetimes(datetime(1970, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC)),
)
def test_a_quota_lasts_to_the_last_microsecond_of_its_window(
    decide, server, period: str, moment: datetime
) -> None:
    server.flushall()
    subject, end = subject_of(period), microseconds(end_of_window(period, moment))
    assert decide(subject, 10, microseconds(moment))[:2] == [1, 0]
    assert decide(subject, 1, end - 1) == [0, 0, 1]
    assert decide(subject, 10, end)[:2] == [1, 0]


def test_every_month_of_two_centuries(decide) -> None:
    for number in range(2400):
        start = datetime(1970 + number // 12, number % 12 + 1, 1, tzinfo=UTC)
        length = end_of_window("month", start) - start
        assert decide(subject_of("month"), 1, microseconds(start))[2] == length // LENGTHS["second"]
