"""How long a response is fresh and how old it is, as RFC 9111, section 4.2, counts it."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.freshness import current_age_s, initial_age_s, lifetime_s
from tidegate.http import Headers

NOW = 1_700_000_000
HOUR = 3600


def date(offset=0):
    return formatdate(NOW + offset, usegmt=True).encode()


def lifetime(*fields, status=200, default=0.0):
    return lifetime_s(status, Headers(fields), default, NOW)


CC = b"cache-control"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(CC, b"max-age=60")], 60),
        ([(CC, b"max-age=60, s-maxage=5")], 5),
        ([(CC, b"max-age=5"), (CC, b"s-maxage=60")], 60),
        ([(CC, b"s-maxage=x, max-age=60")], 0),
        ([(CC, b"s-maxage=0, max-age=60")], 0),
        ([(CC, b"max-age=60, no-cache")], 0),
        ([(CC, b'max-age=60, no-cache="set-cookie"')], 0),
        ([(CC, b"max-age=99999999999999999999")], 2**31),
        ([(CC, b"max-age=60"), (b"expires", date(HOUR))], 60),
        ([(CC, b"max-age=60"), (b"expires", date(-HOUR))], 60),
        ([(CC, b"max-age=60"), (b"expires", b"0")], 60),
        ([(CC, b"max-age=x"), (b"expires", date(HOUR))], 0),
        ([(b"expires", date(HOUR)), (b"date", date())], HOUR),
        ([(b"expires", date(HOUR)), (b"date", date(-HOUR))], 2 * HOUR),
        ([(b"expires", date(HOUR))], HOUR),
        ([(b"expires", date(-1)), (b"date", date())], 0),
        ([(b"expires", date()), (b"date", date())], 0),
        ([(b"expires", b"0")], 0),
        ([(b"expires", b"-1")], 0),
        ([(b"expires", b"")], 0),
        ([(b"expires", date(HOUR)), (b"date", b"yesterday")], 0),
        ([(b"expires", date(HOUR)), (b"expires", date(HOUR))], HOUR),
        ([(b"expires", date(HOUR)), (b"expires", date(9))], 0),
        ([(b"expires", date(HOUR)), (b"expires", b"0")], 0),
        ([(b"expires", date(HOUR)), (b"date", date(-9)), (b"date", date())], HOUR),
        ([(b"expires", date(HOUR)), (b"pragma", b"no-cache")], 0),
        ([(b"expires", date(HOUR)), (CC, b"public")], HOUR),
    ],
)
@pytest.mark.parametrize("default", [0.0, 7.0])
def test_what_the_service_says_decides(fields, expected, default):
    assert lifetime(*fields, (b"x", b"y"), default=default) == expected


@pytest.mark.parametrize(
    "fields", [[], [(CC, b"public")], [(CC, b"must-revalidate")], [(b"etag", b'"x"')]]
)
def test_default_ttl_stands_where_the_service_says_nothing(fields):
    assert lifetime(*fields, default=7.0) == 7.0
    assert lifetime(*fields) == 0.0


def test_default_ttl_counts_from_arrival_whatever_the_service_s_clock_says():
    for fields in ([(b"date", date(-HOUR))], [(b"age", b"3600")], [(b"date", date(HOUR))]):
        headers = Headers(fields)
        age = current_age_s(initial_age_s(headers, NOW, NOW), NOW, NOW + 2)
        assert lifetime(*fields, default=7.0) - age == 5.0


@pytest.mark.parametrize("field", [(b"date", b"soon"), (b"age", b"young"), (CC, b"no-cache")])
def test_default_ttl_mends_nothing_that_is_said_wrong_or_otherwise(field):
    headers = Headers([field])
    assert lifetime(field, default=7.0) - initial_age_s(headers, NOW, NOW) <= 0


def test_no_heuristic_is_used():
    assert lifetime((b"last-modified", date(-1000 * HOUR)), (b"date", date())) == 0


@pytest.mark.parametrize("status", [201, 202, 302, 307, 403, 500, 502, 503, 504, 599])
def test_default_ttl_is_not_for_every_status(status):
    assert lifetime(status=status, default=7.0) == 0
    assert lifetime((CC, b"max-age=60"), status=status) == 60


@pytest.mark.parametrize(
    ("fields", "delay", "expected"),
    [
        ([], 0, 0),
        ([], 3, 3),
        ([(b"age", b"30")], 0, 30),
        ([(b"age", b"30")], 3, 33),
        ([(b"date", date(-100))], 3, 100),
        ([(b"date", date(100))], 3, 3),
        ([(b"age", b"30"), (b"date", date(-100))], 3, 100),
        ([(b"age", b"300"), (b"date", date(-100))], 3, 303),
        ([(b"age", b"0, 30")], 0, 30),
        ([(b"age", b"30"), (b"age", b"0")], 0, 30),
        ([(b"date", date()), (b"date", date(-100))], 0, 100),
    ],
)
def test_a_response_is_as_old_as_the_older_account_says(fields, delay, expected):
    assert initial_age_s(Headers(fields), NOW - delay, NOW) == expected


@pytest.mark.parametrize(
    "field",
    [
        (b"age", b"-1"),
        (b"age", b"old"),
        (b"age", b"30, old"),
        (b"age", b"1.5"),
        (b"age", b""),
        (b"age", b"9" * 5000),
        (b"date", b"0"),
        (b"date", b""),
    ],
)
def test_an_age_that_cannot_be_read_is_older_than_any_lifetime(field):
    assert initial_age_s(Headers([field]), NOW, NOW) >= lifetime((CC, b"max-age=%d" % 9**99))


def test_a_clock_that_goes_back_makes_nothing_younger():
    assert initial_age_s(Headers(), NOW + 5, NOW) == 0
    assert current_age_s(30.0, NOW, NOW - 1000) == 30.0


TIMES = st.floats(0, 4e9)
VALUES = st.one_of(
    st.binary(max_size=12),
    st.integers(-5, 2**40).map(b"%d".__mod__),
    st.integers(0, 4 * 10**9).map(lambda s: formatdate(s, usegmt=True).encode()),
    st.sampled_from([b"max-age=60", b"s-maxage=9", b"no-cache", b"max-age=60, max-age=2"]),
)
HEADERS = st.lists(
    st.tuples(st.sampled_from([b"age", b"date", b"expires", CC, b"pragma"]), VALUES), max_size=6
).map(Headers)


@given(HEADERS, TIMES, TIMES, TIMES, st.floats(-10, 1e6))
def test_no_age_and_no_lifetime_is_negative(headers, sent, received, now, default):
    age = initial_age_s(headers, sent, received)
    assert current_age_s(age, received, now) >= age >= 0
    assert lifetime_s(200, headers, default, received) >= 0


@given(HEADERS, TIMES, TIMES, TIMES, st.floats(0, 1e6))
def test_age_grows_with_time_and_with_delay(headers, sent, received, now, later):
    age = initial_age_s(headers, sent, received)
    assert initial_age_s(headers, sent - later, received) >= age
    assert initial_age_s(headers, sent, received + later) >= age
    assert current_age_s(age, received, now + later) >= current_age_s(age, received, now)


@given(HEADERS, st.sampled_from([b"date", b"age"]), VALUES, TIMES, TIMES)
def test_one_more_account_makes_nothing_younger(headers, name, value, sent, received):
    more = Headers([*headers, (name, value)])
    assert initial_age_s(more, sent, received) >= initial_age_s(headers, sent, received)


@given(HEADERS, st.sampled_from([b"max-age=60", b"s-maxage=9", b"no-cache", b"max-age=x"]))
def test_saying_a_directive_twice_changes_nothing(headers, directive):
    once = Headers([*headers, (CC, directive)])
    twice = Headers([*once, (CC, directive)])
    assert lifetime_s(200, once, 7.0, NOW) == lifetime_s(200, twice, 7.0, NOW)
