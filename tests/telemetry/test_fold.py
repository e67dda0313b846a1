"""Folding a batch gives what counting each request by itself would."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.fold import _fold_times, fold
from tidegate.telemetry.meters import Meter


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


@given(
    st.lists(st.tuples(seconds, seconds), min_size=1, max_size=60),
    st.sampled_from(["gateway", "cache", "upstream"]),
    st.booleans(),
    st.floats(0, 1),
)
def test_requests_that_all_went_the_same_way_are_split_alike(waits, source, limited, trip_s):
    """The short ways through the columns agree with the long one."""
    records = [
        (
            SimpleNamespace(
                source=source, caller=None, cache_status=None, started_at=100.0,
                decided_at=100 + wait_s if limited else 0.0, forwarded_at=0.0,
            ),
            "GET", 200, 1, 100 + wait_s + rest_s,
        )
        for wait_s, rest_s in waits
    ]  # fmt: skip
    short, long = Meter("s", "r"), Meter("s", "r")
    fold(short, records, trip_s)
    _fold_times(long, [record[0] for record in records], [record[4] for record in records], trip_s)
    assert short.limited == long.limited == limited * len(waits)
    for name in ("gateway_s", "store_s", "upstream_s"):
        assert sum(getattr(short, name)[:-1]) == sum(getattr(long, name)[:-1])
        assert getattr(short, name)[-1] == pytest.approx(getattr(long, name)[-1], abs=1e-9)
