"""A problem's body: the same for the same error, and another for any other."""

import json

import pytest

from tidegate.http import problem_response
from tidegate.http.errors import TooManyRequests


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"policy": "a"},
        {"policy": "b"},
        {"violated-policies": ("a", "b")},
        {"violated-policies": ("a",)},
        {"violated-policies": ["a"]},
        {"errors": [{"in": "x"}]},
        {"count": 1},
        {"count": True},
        {"count": 1.5},
        {"counts": (1,)},
        {"counts": (True,)},
    ],
)
@pytest.mark.parametrize("detail", ["", "one", "another"])
def test_members_and_detail_are_said_as_they_are(members, detail):
    expected = {
        "type": "urn:tidegate:problem:quota-exceeded",
        "title": "A limit is reached",
        "status": 429,
        "source": "gateway",
        **({"detail": detail} if detail else {}),
        **members,
    }
    for _ in range(2):
        answer = problem_response(TooManyRequests(detail, members=members))
        assert answer.body == json.dumps(expected, separators=(",", ":")).encode()
        assert answer.headers.get(b"content-type") == b"application/problem+json"


def test_what_becomes_of_one_answer_is_nothing_to_the_next():
    first, second = (problem_response(TooManyRequests("same")) for _ in range(2))
    first.headers.append((b"x-a", b"b"))
    assert second.headers.get(b"x-a") is None
