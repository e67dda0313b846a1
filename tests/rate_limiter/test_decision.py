"""What a reply means: the tightest limit, the wait, the header fields, the problem."""

import json
from typing import Any

import pytest

from tidegate.config.schema import Limit, Quota, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.http.errors import StoreUnavailable, TooManyRequests
from tidegate.http.headers import Headers
from tidegate.http.problem import problem_response
from tidegate.rate_limiter import CostExceedsLimit, Decision
from tidegate.rate_limiter.decision import decision
from tidegate.rate_limiter.limits import caller_counters, compiled_subject

STEADY = TokenBucket(name="steady", rate=parse_rate("100/s"), burst=200)
DAILY = Quota(name="daily", quota=parse_rate("1000/day"))
MONTHLY = Quota(name="monthly", quota=parse_rate("50000/month"), per="tenant")


def decided(limits: tuple[Limit, ...], reply: Any, cost: int = 1) -> Decision:
    return decision(compiled_subject(caller_counters("acme", "k", limits)), (cost,), reply)


def test_the_header_fields_of_one_limit() -> None:
    assert decided((STEADY,), [1, 150, 1]).headers == (
        (b"x-ratelimit-limit", b"200"),
        (b"x-ratelimit-remaining", b"150"),
        (b"x-ratelimit-reset", b"1"),
        (b"ratelimit-policy", b'"steady";q=200;w=2'),
        (b"ratelimit", b'"steady";r=150;t=1'),
    )


def test_all_limits_are_listed_and_a_month_has_no_fixed_window() -> None:
    fields = Headers(decided((MONTHLY, STEADY, DAILY), [1, 150, 1, 990, 500, 9, 600]).headers)
    assert fields.get(b"ratelimit-policy") == (
        b'"steady";q=200;w=2, "daily";q=1000;w=86400, "monthly";q=50000'
    )
    assert (
        fields.get(b"ratelimit") == b'"steady";r=150;t=1, "daily";r=990;t=500, "monthly";r=9;t=600'
    )
    assert fields.get(b"x-ratelimit-limit") == b"50000"


@pytest.mark.parametrize(
    ("reply", "tightest"),
    [
        ([1, 199, 1, 900, 500], b"1000"),
        ([1, 100, 1, 900, 500], b"200"),
        ([1, 0, 1, 999, 500], b"200"),
        ([0, 0, 1, 0, 500], b"1000"),
        ([0, 0, 1, 1, 500], b"200"),
        ([0, 200, 0, 0, 500], b"1000"),
    ],
)
def test_the_tightest_has_the_lowest_share_and_of_a_refusal_the_longest_wait(
    reply: list[int], tightest: bytes
) -> None:
    assert Headers(decided((STEADY, DAILY), reply).headers).get(b"x-ratelimit-limit") == tightest


def test_a_refusal_is_a_quota_exceeded_problem_with_the_longest_wait() -> None:
    refused = decided((STEADY, DAILY, MONTHLY), [0, 0, 1, 0, 500, 9, 600])
    assert (refused.allowed, refused.retry_after_s) == (False, 500)
    error = refused.error()
    assert isinstance(error, TooManyRequests)
    response = problem_response(error)
    assert response.status == 429
    assert response.headers.get(b"retry-after") == b"500"
    assert Headers(refused.headers).get(b"x-ratelimit-reset") == b"500"
    assert json.loads(bytes(response.body)) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "A limit is reached",
        "status": 429,
        "source": "gateway",
        "detail": 'Reached: "steady" (100/second, burst 200, per key), '
        '"daily" (1000/day, per key). Try again in 500 s',
        "violated-policies": ["steady", "daily"],
    }


def test_a_limit_that_could_take_the_cost_is_not_named() -> None:
    refused = decided((STEADY, DAILY), [0, 4, 1, 5, 500], cost=5)
    assert refused.violated == ("steady",)
    states = refused.states
    assert [(state.name, state.is_violated) for state in states] == [
        ("steady", True),
        ("daily", False),
    ]


def test_each_refusal_names_the_limits_that_refuse_it() -> None:
    subject = compiled_subject(caller_counters("acme", "k", (STEADY, DAILY)))
    for _ in range(2):  # the second time from memory
        for reply, names in (
            ([0, 0, 1, 5, 500], ("steady",)),
            ([0, 9, 1, 0, 500], ("daily",)),
            ([0, 0, 1, 0, 500], ("steady", "daily")),
        ):
            refused = decision(subject, (1,), reply)
            assert refused.violated == names
            error = refused.error()
            assert error.members == {"violated-policies": names}
            assert all(f'"{name}"' in error.detail for name in names)
    assert decision(subject, (1,), [1, 9, 1, 5, 500]).violated == ()


def test_a_cost_that_no_wait_makes_possible_is_not_answered_with_one() -> None:
    refused = decided((STEADY, DAILY), [0, 200, 0, 0, 500], cost=201)
    error = refused.error()
    assert isinstance(error, CostExceedsLimit)
    assert refused.retry_after_s is None
    assert error.status == 403
    assert error.headers.get(b"retry-after") is None
    assert error.detail == (
        'This request costs 201, but the limit "steady" never holds more than 200: '
        "waiting does not help"
    )


def test_no_limits_no_fields() -> None:
    free = decided((), [1])
    assert free.allowed
    assert free.headers == ()
    assert free.states == ()


WRONG: list[Any] = [
    None,
    1,
    b"OK",
    [],
    [1],
    [1, 199],
    [1, 199, 1, 0],
    [2, 199, 1],
    [None, 199, 1],
    [True, 199, 1],
    [1, 200, 1],
    [1, 201, 1],
    [1, -1, 1],
    [1, 199, -1],
    [1, 199, 10**15],
    [1, b"199", 1],
    [1, 199, None],
    [1, 199.0, 1],
    [1, True, 1],
    [0, 200, 1],
    [0, 1, 1],
]


@pytest.mark.parametrize("reply", WRONG, ids=repr)
def test_a_reply_of_another_shape_is_an_outage_and_never_an_admission(reply: Any) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        decided((STEADY,), reply)
    assert caught.value.headers.get(b"retry-after") == b"1"
