"""The numbers the script counts in: exact where they can be, never fast where they cannot."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.units import Rate, parse_rate
from tidegate.rate_limiter.units import UNITS_MAX, bucket_units

SECOND_US = 10**6
YEARS_10_US = 10 * 366 * 86_400 * SECOND_US


@pytest.mark.parametrize(
    ("rate", "burst", "drained", "emission"),
    [
        ("5/s", 10, 1, 200_000),
        ("7/s", 10, 7, 1_000_000),
        ("1000000/s", 10**9, 1, 1),
        ("999999/s", 10**6, 999_999, 10**6),
        ("1000/day", 1000, 1, 86_400_000),
        ("1/month", 100, 1, 2_592_000_000_000),
    ],
)
def test_common_rates_are_exact(rate: str, burst: int, drained: int, emission: int) -> None:
    assert bucket_units(parse_rate(rate), burst)[1:] == (drained, emission)


@given(
    st.integers(1, 10**9),
    st.sampled_from(["second", "minute", "hour", "day", "month"]),
    st.integers(1, 10**9),
)
def test_no_rate_is_fast_and_none_is_slow_by_a_millionth(
    count: int, period: str, burst: int
) -> None:
    rate = Rate(count, period)
    exact = Fraction(rate.period_s * SECOND_US, count)
    if burst * exact > YEARS_10_US:
        return  # the configuration refuses it
    _, drained, emission = bucket_units(rate, burst)
    assert burst * emission <= UNITS_MAX
    assert drained < 2**32
    assert exact <= Fraction(emission, drained) <= exact * (1 + Fraction(1, 10**6))


def test_what_cannot_be_counted_is_an_error() -> None:
    with pytest.raises(ValueError, match="a century"):
        bucket_units(parse_rate("1/month"), 10**9)
