"""What is said of a field that a limit does not have: which kind of limit does, or what it is
called here. The file's messages and the admin API's say the same."""

from typing import Final

from tidegate.config.problems import did_you_mean
from tidegate.config.units import parse_rate

ONE_KIND: Final = "a limit is a rate, a quota or a concurrency; write two limits"
NO_KIND: Final = "a limit has a rate (such as 5/s), a quota (1000/day) or a concurrency (10)"
ALGORITHMS: Final = "token-bucket or sliding-window"
_OF_ANOTHER_KIND: Final = {
    ("rate", "quota", "concurrency"): ONE_KIND,
    ("burst",): (
        "a burst goes with a rate, such as {rate: 5/s, burst: 10}; a quota, a sliding window or a "
        "concurrency has none"
    ),
    ("precision",): "only a token bucket or a quota has it, not a sliding window or a concurrency",
    ("algorithm",): "only a rate is counted by an algorithm",
    ("time_zone", "billing_day", "notify"): "only a quota, such as 1000/month, has it",
    ("lease",): "only a concurrency has it",
    ("key",): "unknown field; say who shares the limit: per: tenant, address or header:NAME",
    ("routes", "paths"): (
        "unknown field; a limit on some routes stands under limits of those routes, or under "
        "routes of a plan"
    ),
    ("cost",): "unknown field; what a request costs is said by its route",
}


def of_another_kind(name: str) -> str:
    """Return what is right, or nothing where no kind of limit has such a field."""
    return next((words for names, words in _OF_ANOTHER_KIND.items() if name in names), "")


def unknown_field(name: str, value: str | None, known: list[str]) -> str:
    """Return what is right in the place of a field that no limit has, in one without a kind."""
    if said := of_another_kind(name):
        return said
    if hint := did_you_mean(name, known):
        return f"unknown field{hint}"
    if _is_rate(value):
        return 'unknown field, did you mean "rate"? A quota is such as 1000/day'
    return f"unknown field; {NO_KIND}"


def _is_rate(text: str | None) -> bool:
    try:
        parse_rate(text or "")
    except ValueError:
        return False
    return True
