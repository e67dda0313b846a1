"""A limit in words for people: what it allows."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from tidegate.config.limit_words import allows
from tidegate.config.limits import CheckedEntry, LimitEntry

ENTRY: TypeAdapter[LimitEntry] = TypeAdapter(CheckedEntry)


@pytest.mark.parametrize(
    "written, words",
    [
        ({"rate": "5/s"}, "5/second, burst 5"),
        ({"rate": "5/s", "precision": "leased"}, "5/second, burst 5, leased"),
        ({"rate": "9/m", "unit": "tokens", "burst": 20}, "9 tokens/minute, burst 20"),
        ({"rate": "9/m", "algorithm": "sliding-window"}, "9 in any minute"),
        ({"rate": "9/m", "algorithm": "sliding-window", "unit": "rows"}, "9 rows in any minute"),
        ({"quota": "9/day", "shadow": True}, "9/day, in shadow, never refuses"),
        (
            {"quota": "9/month", "billing_day": 15, "time_zone": "Europe/Berlin"},
            "9/month from day 15 (Europe/Berlin)",
        ),
        ({"concurrency": 3}, "3 at a time"),
        (
            {"rate": "5/s", "per": "header:X-User", "on_missing": "address"},
            "5/second, burst 5, without x-user: address",
        ),
        ({"quota": None}, "taken away"),
    ],
)
def test_what_a_limit_allows_is_said_in_a_line(written: dict[str, Any], words: str) -> None:
    assert allows(ENTRY.validate_python({"name": "a"} | written)) == words
