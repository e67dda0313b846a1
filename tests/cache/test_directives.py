"""Cache-Control is read generously where it restricts and strictly where it permits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.directives import (
    DELTA_SECONDS_MAX,
    READ_BYTES_MAX,
    delta_seconds,
    of_message,
    parse,
)
from tidegate.http import Headers


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"max-age=60", 60),
        (b"MAX-AGE=60", 60),
        (b'max-age="60"', 60),
        (b'max-age="\\6\\0"', 60),
        (b"max-age=0060", 60),
        (b" , ,public ,\tmax-age=60\t, ", 60),
        (b"max-age=60,max-age=60", 60),
        (b"max-age=60, max-age=060", 60),
        (b'foo="max-age=1", max-age=60', 60),
        (b'foo="a\\", max-age=1", max-age=60', 60),
        (b"x-max-age=60", None),
        (b"max-age-x=60", None),
        (b'foo="max-age=60"', None),
        (b"", None),
        (b",,,", None),
    ],
)
def test_a_number_of_seconds_is_read(value, seconds):
    assert parse([value]).seconds(b"max-age") == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"max-age",
        b"max-age=",
        b'max-age=""',
        b"max-age=-1",
        b"max-age=+60",
        b"max-age=60.0",
        b"max-age=6e1",
        b"max-age='60'",
        b"max-age=60s",
        b"max-age =60",
        b"max-age= 60",
        b"max-age=60; public",
        b"max-age=60 s-maxage=50",
        b"max-age:60",
        b'max-age="60',
        b"max-age=\xb2",
        b"max-age=60, max-age=1",
        b"max-age=1, max-age=60",
        b"max-age, max-age=60",
        b'foo="bar, max-age=60',
        b'foo"bar, max-age=60',
    ],
)
def test_what_is_no_number_or_not_one_number_is_zero(value):
    assert parse([value]).seconds(b"max-age") == 0


def test_lines_are_one_list():
    assert parse([b"max-age=60", b"private", b"max-age=1"]).seconds(b"max-age") == 0
    assert b"private" in parse([b"max-age=60", b"private"])


@pytest.mark.parametrize("digits", [b"2147483648", b"2147483649", b"9" * 30, b"9" * 5000])
def test_an_overflowing_number_is_the_largest(digits):
    assert delta_seconds(digits) == DELTA_SECONDS_MAX
    assert delta_seconds(b"0" * 5000 + digits) == DELTA_SECONDS_MAX


@pytest.mark.parametrize(
    "value",
    [
        b"no-store",
        b"No-Store",
        b"no-store=1",
        b'no-store=""',
        b'no-store="x, y"',
        b"no-store public",
        b"public;no-store",
        b"max-age=60; no-store",
        b"no-store:",
        b"=no-store",
        b'"no-store"',
        b'x="unclosed, no-store',
        b"x=y=no-store",
        b"\xff no-store",
        b'max-age="60" "no-store',
    ],
)
def test_a_restriction_counts_in_whatever_form(value):
    assert b"no-store" in parse([value])


@pytest.mark.parametrize("filling", [b",", b"a b,", b'a="b",', b'"'])
def test_of_what_nobody_sends_in_earnest_only_restrictions_count(filling):
    said = parse([b"public, max-age=60", filling * READ_BYTES_MAX + b",max-age=60, no-store"])
    assert not said.permits(b"public")
    assert said.seconds(b"max-age") == 0
    assert b"no-store" in said


def test_a_word_in_a_quoted_string_is_no_directive():
    said = parse([b'x="no-store, private", y="\\"no-store", z'])
    assert b"no-store" not in said
    assert b"private" not in said


@pytest.mark.parametrize("name", [b"private", b"no-cache"])
@pytest.mark.parametrize("argument", [b"", b'="set-cookie"', b'="a, b"', b"=a", b'=""'])
def test_a_qualified_form_counts_as_the_bare_one(name, argument):
    assert name in parse([b"public, " + name + argument])


@pytest.mark.parametrize(
    ("value", "permits"),
    [
        (b"public", True),
        (b"max-age=1,PUBLIC", True),
        (b"public, public", True),
        (b"public=x", False),
        (b"public, public=x", False),
        (b'public=""', False),
        (b"public max-age=1", False),
        (b"public; max-age=1", False),
        (b'public, x="unclosed', False),
        (b"public, a b", False),
        (b"publicly", False),
        (b'x="public"', False),
    ],
)
def test_a_permission_holds_only_beyond_doubt(value, permits):
    assert parse([value]).permits(b"public") is permits


def test_min_fresh_that_cannot_be_read_asks_for_everything():
    assert parse([b"min-fresh=5"]).seconds_or_max(b"min-fresh") == 5
    assert parse([b"min-fresh=x"]).seconds_or_max(b"min-fresh") == DELTA_SECONDS_MAX
    assert parse([b""]).seconds_or_max(b"min-fresh") is None


@pytest.mark.parametrize(
    ("fields", "is_there"),
    [
        ([(b"pragma", b"no-cache")], True),
        ([(b"pragma", b"x, No-Cache")], True),
        ([(b"pragma", b"x")], False),
        ([(b"pragma", b"no-cache"), (b"cache-control", b"max-age=9")], False),
        ([(b"pragma", b"no-cache"), (b"cache-control", b"")], False),
    ],
)
def test_pragma_counts_where_there_is_no_cache_control(fields, is_there):
    assert (b"no-cache" in of_message(Headers(fields))) is is_there


NOISE = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.lists(
            st.sampled_from(
                [
                    b"no-store",
                    b"max-age=5",
                    b"private",
                    b"public",
                    b",",
                    b'"',
                    b"=",
                    b"\\",
                    b" ",
                    b"a",
                ]
            ),
            max_size=12,
        ).map(b"".join),
    ),
    max_size=4,
)


@given(NOISE)
def test_any_bytes_are_read_without_an_error(values):
    said = parse(values)
    for name in (b"max-age", b"s-maxage", b"min-fresh"):
        for seconds in (said.seconds(name), said.seconds_or_max(name)):
            assert seconds is None or 0 <= seconds <= DELTA_SECONDS_MAX


@given(NOISE, NOISE)
def test_no_other_line_hides_a_restriction(before, after):
    assert b"no-store" in parse([*before, b"no-store", *after])


@given(NOISE, NOISE)
def test_no_other_line_grants_a_permission(before, after):
    if parse([*before, b"public", *after]).permits(b"public"):
        assert parse([b"public"]).permits(b"public")
        assert not parse([*before, *after])._is_malformed


@given(NOISE, st.integers(1, 1000))
def test_no_other_line_makes_a_lifetime_longer(others, seconds):
    said = parse([b"max-age=%d" % seconds, *others]).seconds(b"max-age")
    assert said is not None
    assert said <= seconds
