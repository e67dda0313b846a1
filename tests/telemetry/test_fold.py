"""Folding a batch gives what counting each request by itself would."""

from bisect import bisect_left
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.fold import fold
from tidegate.telemetry.meters import BOUNDS_S, Meter


class Caller:
    """Compared by identity, as the gateway's are."""

    tenant = plan = key_id = "x"


CALLERS = [Caller() for _ in range(3)]
seconds = st.floats(0, 40, allow_nan=False)
one = st.tuples(
    st.sampled_from(["gateway", "cache", "upstream"]),
    st.sampled_from([None, *CALLERS]),
    st.sampled_from([None, "hit", "miss"]),
    st.sampled_from([200, 401, 429, 502]),
    st.integers(0, 5000),
    st.tuples(seconds, seconds, seconds),
    st.booleans(),
    st.booleans(),
)


def record(drawn):
    source, caller, verdict, status, size, (before, between, after), decided, forwarded = drawn
    facts = SimpleNamespace(
        source=source,
        caller=caller,
        cache_status=verdict,
        started_at=100.0,
        decided_at=100 + before if decided else 0.0,
        forwarded_at=100 + before + between if forwarded else 0.0,
    )
    return (facts, "GET", status, size, 100 + before + between + after)


@given(st.lists(one, min_size=1, max_size=60), st.floats(0, 1))
def test_a_batch_is_the_sum_of_its_requests(drawn, trip_s):
    records = [record(d) for d in drawn]
    together, apart = Meter("s", "r"), Meter("s", "r")
    fold(together, records, trip_s)
    for each in records:
        fold(apart, [each], trip_s)
    assert together.statuses == apart.statuses
    assert together.usage == apart.usage
    assert together.cache == apart.cache
    assert (together.bytes, together.limited) == (apart.bytes, apart.limited)
    for name in ("gateway_s", "store_s", "upstream_s"):
        assert getattr(together, name)[:-1] == getattr(apart, name)[:-1]
    assert sum(together.gateway_s[:-1]) == len(records)


@given(st.lists(seconds, min_size=20, max_size=60))
def test_requests_that_all_went_the_same_way_are_split_alike(waits):
    """The short way through the columns agrees with the long one."""
    meter = Meter("s", "r")
    facts = [
        SimpleNamespace(
            source="upstream",
            caller=None,
            cache_status=None,
            started_at=1.0,
            decided_at=1 + w,
            forwarded_at=0.0,
        )  # fmt: skip
        for w in waits
    ]
    trip_s = 0.002
    fold(meter, [(f, "GET", 200, 1, f.decided_at + 0.5) for f in facts], trip_s)
    expected = [0] * (len(BOUNDS_S) + 1)
    for fact in facts:
        expected[bisect_left(BOUNDS_S, min(trip_s, fact.decided_at - 1.0))] += 1
    assert meter.store_s[:-1] == expected
    assert meter.limited == len(waits)
