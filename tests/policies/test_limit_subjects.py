"""What is compiled for a caller is kept for as long as he says the same, and within bounds."""

from typing import Any

import pytest

from tidegate.config import Config, Route
from tidegate.http import Headers, Request
from tidegate.identity import Caller
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.key_format import digest
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.policies.limit_subjects import RouteSubjects, Subjects
from tidegate.rate_limiter import Limiter
from tidegate.store import Store

UNITS = ("requests",)


def caller_of(*limits: dict[str, Any], key: str = "key") -> Caller:
    """A caller read anew: another object each time."""
    tenant = {"name": "acme", "plan": "plan", "keys": [{"name": key, "value": key}]}
    service = {"name": "s", "targets": ["http://127.0.0.1:1"], "routes": [{"name": "a"}]}
    config = {
        "version": 1,
        "plans": {"plan": {"limits": list(limits)}},
        "tenants": [tenant],
        "services": [service],
    }
    caller = FileObjects(Config.model_validate(config)).caller(digest(key.encode()))
    assert caller is not None
    return caller


def bucket(per: str = "key", burst: int = 5) -> dict[str, Any]:
    return {"name": per.partition(":")[0], "rate": "5/s", "burst": burst, "per": per}


@pytest.fixture
def subjects(valkey: Store) -> Subjects:
    return Subjects(Limiter(valkey), CountedAddresses(TrustedProxies(())))


def on(subjects: Subjects, name: str) -> RouteSubjects:
    return subjects.on(Route(name=name), UNITS)


REQUEST: Request[Any] = Request("GET", b"/", Headers(), client="192.0.2.1")


async def test_routes_on_which_the_same_counts_share_what_is_compiled(subjects: Subjects):
    caller = caller_of(bucket())
    assert on(subjects, "a").of(caller, REQUEST) is on(subjects, "b").of(caller, REQUEST)
    by_route = caller_of(bucket("route"))
    assert on(subjects, "a").of(by_route, REQUEST) is not on(subjects, "b").of(by_route, REQUEST)


@pytest.mark.parametrize("per", ["key", "address"])
async def test_a_caller_read_anew_goes_on_where_he_was_and_a_changed_one_does_not(
    subjects: Subjects, per: str
):
    route = on(subjects, "a")
    first = route.of(caller_of(bucket(per)), REQUEST)
    assert route.of(caller_of(bucket(per)), REQUEST) is first
    changed = route.of(caller_of(bucket(per, burst=9)), REQUEST)
    assert changed is not first
    assert changed.capacities == (9,)


async def test_a_long_value_takes_no_more_room_than_a_short_one(subjects: Subjects):
    """Pain point 8: 10,000 values of as much as a head may hold would be 300 MB."""
    route, caller = on(subjects, "a"), caller_of(bucket("header:x-user"))

    def of(value: bytes) -> Any:
        return route.of(caller, Request("GET", b"/", Headers([(b"x-user", value)])))

    long = b"x" * 30_000
    assert of(long) is of(long)
    assert of(long) is not of(long + b"y")
    assert of(b"ada") is of(b"ada")
    kept = [value.value for _, values in subjects._completed for value in values]
    assert max(map(len, kept)) <= 64


async def test_who_was_not_seen_for_longest_is_forgotten_first(
    subjects: Subjects, monkeypatch: pytest.MonkeyPatch
):
    """Pain point 8: memory that grows until the worker is killed."""
    monkeypatch.setattr("tidegate.policies.limit_subjects.SUBJECTS_MAX", 3)
    monkeypatch.setattr("tidegate.policies.limit_subjects.KNOWN_MAX", 4)
    route, caller = on(subjects, "a"), caller_of(bucket("address"))

    def at(number: int) -> Any:
        asked: Request[Any] = Request("GET", b"/", Headers(), client=f"192.0.2.{number}")
        return route.of(caller, asked)

    first = at(1)
    for number in (2, 3):
        at(number)
        assert at(1) is first
    at(4)
    assert at(1) is first  # used again and again, unlike the second
    for number in range(5, 9):
        at(number)
    assert at(1) is not first
    for number in range(9):
        route.of(caller_of(bucket(), key=f"key{number}"), REQUEST)
        assert len(route.known) <= 4
    assert len(subjects._compiled) <= 3
    assert len(subjects._completed) <= 3


@pytest.mark.parametrize("per", ["key", "address"])
async def test_what_callers_share_is_kept_while_new_ones_ask_for_it(
    subjects: Subjects, monkeypatch: pytest.MonkeyPatch, per: str
):
    monkeypatch.setattr("tidegate.policies.limit_subjects.SUBJECTS_MAX", 3)
    route = on(subjects, "a")

    def of(burst: int) -> Any:
        route.known.clear()
        return route.of(caller_of(bucket(per, burst)), REQUEST)

    first = of(1)
    for burst in range(2, 9):
        of(burst)
        assert of(1) is first
