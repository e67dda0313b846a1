"""How much can be spent at one instant where long calls give back what they did not use."""

import pytest

from tidegate.config.limits import Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter
from tidegate.rate_limiter.limits import compiled_subject

SECOND = 10**6
WHOLE, USED = 600, 10
CALLS = 10
"""One after the other, each long enough for all that it reserved to flow in again meanwhile."""
MINUTE = parse_rate(f"{WHOLE}/m")
BUCKET = TokenBucket(name="tokens", rate=MINUTE, burst=WHOLE, unit="tokens")
WINDOW = SlidingWindow(name="tokens", rate=MINUTE, algorithm="sliding-window", unit="tokens")
QUOTA = Quota(name="tokens", quota=MINUTE, unit="tokens")


@pytest.mark.parametrize(
    "limit, most",
    [(BUCKET, WHOLE + CALLS * (WHOLE - USED)), (WINDOW, WHOLE), (QUOTA, WHOLE)],
    ids=["a bucket's burst, and what is given back", "a window's", "a quota's"],
)
def test_at_one_instant_no_more_is_spent_than(decide, limit: Limit, most: int) -> None:
    counter = Counter(b"tg:limits:{acme}:t", (limit,))
    asked = compiled_subject((counter,), ("requests", "tokens"))
    begun = [10**15 + 100 * SECOND * number for number in range(CALLS)]
    for at in begun:
        assert decide(asked, (0, WHOLE), at)[0]
    now, spent = begun[-1] + 100 * SECOND, 0
    for at in (None, *begun):
        if at is not None:
            decide(asked, (0, USED - WHOLE), now, age=b"%d" % (now - at))
        left = decide(asked, (0, 0), now)[1]
        spent += left * decide(asked, (0, left), now)[0]
    assert spent == most
