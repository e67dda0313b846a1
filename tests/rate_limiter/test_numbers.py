"""A limit in words for who is refused."""

import pytest

from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter.numbers import described

MINUTE = parse_rate("2000/m")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (
            TokenBucket(name="t", rate=MINUTE, burst=9, unit="tokens"),
            '"t" (2000 tokens/minute, burst 9, per key)',
        ),
        (
            SlidingWindow(name="w", rate=MINUTE, algorithm="sliding-window", per="header:x-user"),
            '"w" (2000 in any minute, per header:x-user)',
        ),
        (
            Quota(name="m", quota=parse_rate("9/month"), billing_day=15, per="tenant"),
            '"m" (9/month from day 15, per tenant)',
        ),
        (Concurrency(name="p", concurrency=3), '"p" (3 at a time, per key)'),
    ],
)
def test_a_limit_is_described_by_what_it_admits_and_who_shares_it(limit: Limit, words: str) -> None:
    assert described(limit) == words
