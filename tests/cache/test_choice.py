"""What serves best of several stored responses, and why what is stored did not do."""

from dataclasses import replace

import pytest

from tidegate.cache.choice import chosen
from tidegate.cache.status_field import Forwarded
from tidegate.http import Headers

NOW = 1001.0
NOTHING = Headers()
PERSONAL = Headers([(b"cookie", b"a=b")])
"""A request for which an answer that does not speak of storing is none."""


@pytest.fixture
def fresh(entry):
    return entry()


@pytest.fixture
def stale(entry):
    return entry(lifetime_s=1.0)


@pytest.fixture
def public(entry):
    return entry(headers=Headers([(b"cache-control", b"public")]))


def test_of_nothing_there_is_no_choice() -> None:
    assert chosen(NOTHING, [], NOW) is None


def test_what_answers_goes_before_what_must_be_validated(fresh, stale) -> None:
    for entries in ([(b"1", fresh), (b"2", stale)], [(b"2", stale), (b"1", fresh)]):
        choice = chosen(NOTHING, entries, NOW)
        assert choice is not None
        assert (choice.entry, choice.answers, choice.may_be_validated) == (b"1", True, False)


def test_of_two_that_answer_the_first_does(fresh) -> None:
    choice = chosen(NOTHING, [(b"own", fresh), (b"public", fresh)], NOW)
    assert choice is not None
    assert choice.entry == b"own"


def test_what_can_be_validated_goes_before_what_is_not_for_the_request(fresh, public) -> None:
    stale = replace(public, lifetime_s=1.0)
    for entries in ([(b"1", fresh), (b"2", stale)], [(b"2", stale), (b"1", fresh)]):
        choice = chosen(PERSONAL, entries, NOW)
        assert choice is not None
        assert (choice.entry, choice.answers, choice.may_be_validated) == (b"2", False, True)


@pytest.mark.parametrize(
    ("headers", "lifetime_s", "why"),
    [
        (NOTHING, 1.0, Forwarded.STALE),
        (PERSONAL, 60.0, Forwarded.MISS),
        (Headers([(b"cache-control", b"no-cache")]), 60.0, Forwarded.REQUEST),
        (Headers([(b"cache-control", b"no-cache")]), 1.0, Forwarded.STALE),
    ],
)
def test_it_says_why_it_did_not_do(entry, headers, lifetime_s, why) -> None:
    choice = chosen(headers, [(b"1", entry(lifetime_s=lifetime_s))], NOW)
    assert choice is not None
    assert not choice.answers
    assert choice.why_forwarded is why
