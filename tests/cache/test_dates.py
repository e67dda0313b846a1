"""Three forms are dates; whatever needs guessing is not."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.dates import http_date

NOVEMBER_1994 = 784111777


@pytest.mark.parametrize(
    "text",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms_name_one_time(text):
    assert http_date(text) == NOVEMBER_1994


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"-1",
        b"never",
        b"784111777",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 06 nov 1994 08:49:37 GMT",
        b"SUN, 06 NOV 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 gmt",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49 GMT",
        b"Sun, 06 Nov 1994 08.49.37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Wed, 31 Nov 1994 08:49:37 GMT",
        b"Wed, 29 Feb 2023 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun,  06 Nov 1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b"Foo, 06 Nov 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT".encode(),
        b"Sun Nov 6 08:49:37 1994",
        b"Sun Nov  6 08:49:37 1994 GMT",
    ],
)
def test_anything_else_is_no_date(text):
    assert http_date(text) is None


def test_leap_days_and_leap_seconds_are_times():
    assert http_date(b"Thu, 29 Feb 2024 00:00:00 GMT") == 1709164800
    assert http_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == 1483228800


def test_two_digits_of_a_year_are_of_the_nearer_century():
    assert http_date(b"Thursday, 01-Jan-70 00:00:00 GMT") == 0
    assert http_date(b"Tuesday, 01-Jan-69 00:00:00 GMT") == 3124224000


@given(st.integers(0, 253402300799))
def test_a_time_in_any_form_is_read_back(seconds):
    assert http_date(formatdate(seconds, usegmt=True).encode()) == seconds
    asctime = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(seconds))
    assert http_date(asctime.encode()) == seconds


@given(st.binary(max_size=40))
def test_any_bytes_are_read_without_an_error(text):
    http_date(text)
