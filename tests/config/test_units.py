"""Units are exact, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.units import PERIODS, Rate, parse_duration_s, parse_rate, parse_size

UNITS_US = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
SIZES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@given(st.integers(1, 10**9), st.sampled_from(sorted(PERIODS)), st.booleans())
def test_every_spelling_of_a_rate_is_the_rate(count: int, word: str, plural: bool) -> None:
    spelling = word + "s" if plural and len(word) > 2 else word
    rate = parse_rate(f" {count} / {spelling} ")
    assert rate == Rate(count, PERIODS[word])
    assert parse_rate(str(rate)) == rate


@given(st.integers(0, 10**9), st.sampled_from(sorted(UNITS_US)))
def test_a_whole_duration_is_exact(count: int, unit: str) -> None:
    assert parse_duration_s(f"{count}{unit}") == count * UNITS_US[unit] / 10**6


@given(st.integers(0, 10**6), st.integers(0, 999))
def test_a_fraction_is_decimal_not_binary(whole: int, thousandths: int) -> None:
    assert parse_duration_s(f"{whole}.{thousandths:03}s") == (whole * 1000 + thousandths) / 1000


@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZES)))
def test_a_size_is_whole_bytes(count: int, unit: str) -> None:
    assert parse_size(f"{count}{unit}") == count * SIZES[unit]


@given(st.text())
def test_any_text_is_a_unit_or_a_value_error(text: str) -> None:
    for parse in (parse_rate, parse_duration_s, parse_size):
        try:
            parse(text)
        except ValueError as error:
            assert "write" in str(error) or "the " in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "text", ["5", "/s", "5/", "5/ms", "5/hs", "-5/s", "1.5/s", "5/S", "5/year", "0/s", "٥/s"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|count"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["10", "s", "1e3s", "-1s", "10 sec", "0.5us", "1.2.3s", "1" * 99])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 50ms"):
        parse_duration_s(text)


@pytest.mark.parametrize("text", ["5MB", "5kib", "1.5B", "-1", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 32KiB"):
        parse_size(text)


def test_nothing_needs_no_unit() -> None:
    assert parse_duration_s("0") == 0
