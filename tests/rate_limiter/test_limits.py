"""What is known before a request: key names, order, arguments."""

import pytest

from tidegate.config.schema import Quota, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter.calls import arguments
from tidegate.rate_limiter.limits import caller_counters, compiled_subject
from tidegate.rate_limiter.numbers import packed_limit, window_s

STEADY = TokenBucket(name="steady", rate=parse_rate("5/s"), burst=10)
SHARED = Quota(name="shared", quota=parse_rate("1000/month"), per="tenant")


def test_states_of_a_tenant_lie_in_one_hash_slot() -> None:
    subject = compiled_subject(caller_counters("acme", "0a1b", (SHARED, STEADY)))
    assert subject.keys == (b"tg:limits:{acme}:k:0a1b", b"tg:limits:{acme}:t")
    assert subject.limits == (STEADY, SHARED)
    assert subject.cost_max == 10


@pytest.mark.parametrize(("limits", "keys"), [((STEADY,), 1), ((SHARED,), 1), ((), 0)])
def test_only_states_with_limits_are_asked_for(limits, keys: int) -> None:
    subject = compiled_subject(caller_counters("acme", "0a1b", limits))
    assert len(subject.keys) == len(subject.packed_limits) == keys


def test_a_limit_is_21_bytes_whatever_its_name() -> None:
    long = STEADY.model_copy(update={"name": "n" * 64})
    assert [len(packed_limit(limit)) for limit in (STEADY, SHARED, long)] == [21, 21, 21]


def test_a_limit_is_known_by_name_and_kind_not_by_its_figures() -> None:
    faster = TokenBucket(name="steady", rate=parse_rate("50/s"), burst=100)
    quota = Quota(name="steady", quota=parse_rate("5/s"))
    assert packed_limit(STEADY)[:6] == packed_limit(faster)[:6]
    assert packed_limit(STEADY)[:6] != packed_limit(quota)[:6]


@pytest.mark.parametrize(
    ("rate", "burst", "seconds"), [("100/s", 200, 2), ("100/s", 201, 3), ("1000/s", 1, 1)]
)
def test_a_bucket_s_window_is_the_time_to_fill_it(rate: str, burst: int, seconds: int) -> None:
    assert window_s(TokenBucket(name="a", rate=parse_rate(rate), burst=burst)) == seconds


def test_a_cost_that_gives_tokens_back_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        arguments(compiled_subject(caller_counters("acme", "k", (STEADY,))), (-1,))
