"""What may be answered from the cache, and what a client's own directives change."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.lookup import Kind, decide, wants_stored_only, why_bypassed
from tidegate.http import Headers, Request

CC = b"cache-control"
NOW = 1_700_000_000.0


def stored(*fields, lifetime_s=60.0, initial_age_s=0.0, response_time=NOW):
    return SimpleNamespace(
        headers=Headers(fields or [(CC, b"max-age=60")]),
        lifetime_s=lifetime_s,
        initial_age_s=initial_age_s,
        response_time=response_time,
    )


def asked(*directives, name=CC):
    return Headers([(b"accept", b"*/*"), *((name, directive) for directive in directives)])


def kind(request_headers, entry, after=0.0):
    return decide(request_headers, entry, NOW + after).kind


@pytest.mark.parametrize(
    ("after", "expected"), [(0, Kind.FRESH), (59, Kind.FRESH), (60, Kind.VALIDATE)]
)
def test_a_response_is_fresh_while_its_lifetime_exceeds_its_age(after, expected):
    verdict = decide(asked(), stored(), NOW + after)
    assert verdict == (expected, "fresh" if after < 60 else "stale", 60 - after, after)


def test_the_age_on_arrival_counts():
    assert kind(asked(), stored(initial_age_s=50), 9) is Kind.FRESH
    assert kind(asked(), stored(initial_age_s=50), 10) is Kind.VALIDATE


@pytest.mark.parametrize(
    ("directive", "after", "expected"),
    [
        (b"no-cache", 0, Kind.VALIDATE),
        (b"max-age=0", 0, Kind.VALIDATE),
        (b"max-age=10", 10, Kind.FRESH),
        (b"max-age=10", 11, Kind.VALIDATE),
        (b"max-age=x", 1, Kind.VALIDATE),
        (b"max-age=100", 70, Kind.VALIDATE),
        (b"min-fresh=10", 50, Kind.FRESH),
        (b"min-fresh=10", 51, Kind.VALIDATE),
        (b"min-fresh=x", 0, Kind.VALIDATE),
        (b"max-stale", 10**6, Kind.STALE),
        (b"max-stale", 0, Kind.FRESH),
        (b"max-stale=10", 70, Kind.STALE),
        (b"max-stale=10", 71, Kind.VALIDATE),
        (b"max-stale=x", 61, Kind.VALIDATE),
        (b"max-stale, max-stale=5", 99, Kind.VALIDATE),
        (b"max-stale, max-age=70", 70, Kind.STALE),
        (b"max-stale, max-age=70", 71, Kind.VALIDATE),
        (b"max-stale, min-fresh=1", 60, Kind.VALIDATE),
        (b"max-stale, no-cache", 0, Kind.VALIDATE),
        (b"only-if-cached", 0, Kind.FRESH),
        (b"unknown", 0, Kind.FRESH),
        (b"", 60, Kind.VALIDATE),
    ],
)
def test_a_client_may_ask_for_more_or_be_content_with_less(directive, after, expected):
    assert kind(asked(directive), stored(), after) is expected


def test_pragma_asks_for_validation_where_there_is_no_cache_control():
    pragma = asked(b"no-cache", name=b"pragma")
    assert kind(pragma, stored()) is Kind.VALIDATE
    assert kind(Headers([*pragma, (CC, b"max-age=60")]), stored()) is Kind.FRESH


@pytest.mark.parametrize(
    "said",
    [b"must-revalidate", b"proxy-revalidate", b"s-maxage=60", b"no-cache", b'no-cache="x"'],
)
def test_no_client_gets_a_stale_answer_that_the_service_forbids(said):
    entry = stored((CC, b"max-age=60, " + said))
    assert kind(asked(b"max-stale"), entry, 61) is Kind.VALIDATE


@pytest.mark.parametrize("name", [b"cookie", b"authorization"])
def test_what_only_default_ttl_stored_is_not_for_a_request_with_credentials(name):
    request = asked(b"x", name=name)
    assert kind(request, stored((b"etag", b'"x"'))) is Kind.MISS
    assert kind(request, stored((CC, b"public"))) is Kind.FRESH
    assert kind(request, stored((CC, b"max-age=60"))) is Kind.FRESH
    assert kind(request, stored((b"expires", b"0"), lifetime_s=0.0)) is Kind.VALIDATE


def test_only_if_cached_is_seen():
    assert wants_stored_only(asked(b"max-stale, Only-If-Cached"))
    assert not wants_stored_only(asked(b"max-stale"))
    assert not wants_stored_only(asked())


def request(*fields, method="GET", body=b""):
    return Request(method, b"/", Headers(fields), body=body)


async def pieces():
    yield b""


@pytest.mark.parametrize(
    ("bypassing", "why"),
    [
        (request(method="POST"), "method POST"),
        (request(method="OPTIONS"), "method OPTIONS"),
        (request(body=b"{}"), "a request with content"),
        (request(body=pieces()), "a request with content"),
        (request((b"range", b"bytes=0-1")), "Range"),
        (request((b"if-range", b'"x"')), "If-Range"),
        (request((b"if-match", b'"x"')), "If-Match"),
        (request((b"if-unmodified-since", b"x")), "If-Unmodified-Since"),
        (request((CC, b"no-store")), "no-store in the request"),
        (request((CC, b"max-age=0"), (CC, b"no-store=x")), "no-store in the request"),
        (request((b"x-http-method-override", b"DELETE")), "X-HTTP-Method-Override"),
    ],
)
def test_what_does_not_concern_the_cache_passes_by(bypassing, why):
    assert why_bypassed(bypassing) == why


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_plain_and_conditional_reads_concern_the_cache(method):
    for fields in ([], [(b"if-none-match", b'"x"')], [(CC, b"no-cache")], [(b"pragma", b"x")]):
        assert why_bypassed(request(*fields, method=method)) is None


DIRECTIVES = st.lists(
    st.one_of(
        st.sampled_from([b"no-cache", b"max-stale", b"max-age=5", b"min-fresh=5", b"max-stale=9"]),
        st.binary(max_size=9),
    ),
    max_size=4,
)


@given(DIRECTIVES, st.floats(0, 200), st.floats(0, 200))
def test_a_request_directive_makes_nothing_fresh_that_is_not(directives, after, lifetime_s):
    entry = stored(lifetime_s=lifetime_s)
    verdict = decide(asked(*directives), entry, NOW + after)
    assert (verdict.kind is Kind.FRESH) <= (verdict.ttl_s > 0)
    assert verdict.ttl_s == lifetime_s - verdict.age_s


@given(DIRECTIVES, st.floats(0, 200), st.floats(0, 200))
def test_time_makes_nothing_fresh_again(directives, after, later):
    before = kind(asked(*directives), stored(), after)
    assert (kind(asked(*directives), stored(), after + later) is Kind.FRESH) <= (
        before is Kind.FRESH
    )


@given(DIRECTIVES, st.floats(0, 200))
def test_no_other_directive_weakens_no_cache(directives, after):
    for order in ([b"no-cache", *directives], [*directives, b"no-cache"]):
        assert kind(asked(*order), stored(), after) is Kind.VALIDATE
