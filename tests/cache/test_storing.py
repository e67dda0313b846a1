"""Which responses may be stored: whatever might be meant for one client alone may not."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidegate.cache.storing import is_explicitly_public, stored_fields, why_not_stored
from tidegate.http import Headers

CC = b"cache-control"
FRESH = (CC, b"max-age=60")
DATE = b"Tue, 14 Nov 2023 22:13:20 GMT"
NOW = 1_700_000_000


def reason(*fields, status=200, request=(), method="GET", default=0.0):
    return why_not_stored(
        method, Headers(request), status, Headers(fields), default_ttl_s=default, response_time=NOW
    )


@pytest.mark.parametrize(
    "fields",
    [
        [FRESH],
        [(CC, b"s-maxage=60")],
        [(CC, b"max-age=0, s-maxage=60")],
        [(CC, b"public, max-age=60")],
        [(CC, b"max-age=60, must-understand")],
        [(CC, b"max-age=60, unknown, unknown=1")],
        [(b"expires", b"Tue, 14 Nov 2023 23:13:20 GMT")],
        [FRESH, (b"vary", b"accept")],
        [FRESH, (b"pragma", b"no-cache")],
        # Not fresh, but it can be validated.
        [(b"etag", b'"x"')],
        [(b"last-modified", DATE)],
        [(b"etag", b'"x"'), (CC, b"no-cache")],
        [(b"etag", b'"x"'), (CC, b"max-age=0")],
    ],
)
def test_what_is_fresh_or_can_be_validated_may_be_stored(fields):
    assert reason(*fields) is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([], "nothing says it is fresh"),
        ([(CC, b"public")], "nothing says it is fresh"),
        ([(CC, b"max-age=0")], "nothing says it is fresh"),
        ([(CC, b"no-cache, max-age=60")], "nothing says it is fresh"),
        ([(b"expires", b"0")], "nothing says it is fresh"),
        ([(b"pragma", b"no-cache")], "nothing says it is fresh"),
        ([(CC, b"no-store")], "no-store"),
        ([(CC, b"max-age=60, no-store")], "no-store"),
        ([(CC, b"no-store, must-understand, max-age=60")], "no-store"),
        ([FRESH, (CC, b"no-store")], "no-store"),
        ([(CC, b"private, max-age=60")], "private"),
        ([(CC, b'private="x-user", max-age=60')], "private"),
        ([(CC, b"public, private, s-maxage=60")], "private"),
        ([(CC, b"max-age=60; private")], "private"),
        ([FRESH, (b"set-cookie", b"a=b")], "Set-Cookie"),
        ([(CC, b'public, no-cache="set-cookie"'), (b"set-cookie", b"a=b")], "Set-Cookie"),
        ([FRESH, (b"set-cookie2", b"a=b")], "Set-Cookie"),
        ([FRESH, (b"vary", b"*")], "Vary"),
        ([FRESH, (b"vary", b"accept"), (b"vary", b"*")], "Vary"),
        ([FRESH, (b"vary", b"x-tidegate-key-id")], "Vary"),
        ([FRESH, (b"content-range", b"bytes 0-1/2")], "Content-Range"),
    ],
)
def test_what_is_not_stored_has_its_reason(fields, why):
    assert reason(*fields) == why
    if why not in ("nothing says it is fresh",):
        assert reason(*fields, (b"etag", b'"x"'), default=9.0) == why


def test_default_ttl_makes_storable_what_says_nothing():
    assert reason(default=9.0) is None
    assert reason((CC, b"public"), default=9.0) is None
    for said in (b"max-age=0", b"no-cache", b"max-age=x", b"s-maxage=0, max-age=60"):
        assert reason((CC, said), default=9.0) == "nothing says it is fresh"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "QUERY"])
def test_only_answers_to_get_are_stored(method):
    assert reason(FRESH, method=method) == "not a GET"


@pytest.mark.parametrize(
    "status",
    [100, 101, 206, 304, 401, 407, 408, 412, 416, 421, 425, 428, 429, 431, 511, 299, 499, 599, 999],
)
def test_partial_momentary_and_unknown_statuses_are_not_stored(status):
    assert reason((CC, b"public, max-age=60"), status=status, default=9.0) == f"status {status}"


@pytest.mark.parametrize(
    "status", [200, 203, 204, 300, 301, 302, 307, 308, 403, 404, 410, 500, 503]
)
def test_understood_statuses_are_stored_if_they_say_so(status):
    assert reason(FRESH, status=status) is None


def test_default_ttl_stores_no_momentary_failure():
    assert reason(status=404, default=9.0) is None
    assert reason(status=503, default=9.0) == "nothing says it is fresh"
    assert reason(status=302, default=9.0) == "nothing says it is fresh"


def test_the_request_may_forbid_it():
    assert reason(FRESH, request=[(CC, b"no-store")]) == "no-store in the request"
    assert reason(FRESH, request=[(b"range", b"bytes=0-")]) == "Range in the request"


AUTHORIZED = [(b"authorization", b"Basic eDp5")]
SILENT = "a request with credentials, and the answer does not speak of storing"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"max-age=60", "Authorization"),
        (b"max-age=60, s-maxage=0", "Authorization"),
        (b"max-age=60, s-maxage=x", "Authorization"),
        (b"max-age=60, proxy-revalidate", "Authorization"),
        (b"max-age=60, public=x", "Authorization"),
        (b"max-age=60, public; x", "Authorization"),
        (b"public, private, max-age=60", "private"),
        (b"must-revalidate", SILENT),
        (b"x", SILENT),
        (b"public, max-age=60", None),
        (b"s-maxage=60", None),
        (b"must-revalidate, max-age=60", None),
    ],
)
def test_a_request_with_authorization_follows_section_3_5(said, why):
    assert reason((CC, said), request=AUTHORIZED, default=9.0) == why


@pytest.mark.parametrize("name", [b"authorization", b"cookie"])
def test_default_ttl_does_not_stand_for_a_request_with_credentials(name):
    assert reason(request=[(name, b"x")], default=9.0) == SILENT
    assert reason((b"etag", b'"x"'), request=[(name, b"x")]) == SILENT
    assert reason((CC, b"public"), request=[(name, b"x")], default=9.0) is None


def test_a_request_with_cookies_stores_what_says_so():
    assert reason(FRESH, request=[(b"cookie", b"a=b")]) is None


@pytest.mark.parametrize(
    ("values", "is_public"),
    [
        ([b"public"], True),
        ([b"max-age=1", b"Public"], True),
        ([b"max-age=60"], False),
        ([b"s-maxage=60"], False),
        ([b"public, private"], False),
        ([b'public, private="x"'], False),
        ([b"public=1"], False),
        ([b"public; max-age=1"], False),
        ([], False),
    ],
)
def test_only_an_explicit_public_is_for_every_tenant(values, is_public):
    assert is_explicitly_public(Headers([(CC, value) for value in values])) is is_public


def test_fields_of_the_connection_are_not_stored():
    headers = Headers(
        [
            (b"connection", b"x-hop, close"),
            (b"x-hop", b"1"),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-authenticate", b"Basic"),
            (b"proxy-authentication-info", b"x"),
            (b"transfer-encoding", b"chunked"),
            (b"etag", b'"x"'),
            (b"x-other", b"2"),
        ]
    )
    assert stored_fields(headers) == [(b"etag", b'"x"'), (b"x-other", b"2")]


FIELDS = st.lists(
    st.one_of(
        st.tuples(
            st.just(CC),
            st.lists(
                st.sampled_from(
                    [b"max-age=60", b"public", b"s-maxage=9", b"no-cache", b"must-revalidate",
                     b"must-understand", b'x="y, z"', b"private", b"no-store", b'"', b"a b"]
                ),
                max_size=4,
            ).map(b", ".join),
        ),
        st.tuples(
            st.sampled_from([CC, b"expires", b"age", b"date", b"vary", b"etag", b"set-cookie"]),
            st.binary(max_size=20),
        ),
    ),
    max_size=4,
)  # fmt: skip
FORBIDDING = st.sampled_from(
    [
        (CC, b"no-store"),
        (CC, b"private"),
        (CC, b'private="x"'),
        (b"set-cookie", b"a=b"),
        (b"vary", b"*"),
    ]
)


@given(FIELDS, FORBIDDING, st.integers(0, 4), st.integers(100, 599), st.floats(0, 1e6))
def test_one_forbidding_field_anywhere_forbids(fields, forbidding, place, status, default):
    fields.insert(place, forbidding)
    assert reason(*fields, status=status, default=default) is not None
    assert not (forbidding[1].startswith(b"private") and is_explicitly_public(Headers(fields)))


@given(FIELDS, st.sampled_from([200, 404, 503]), st.floats(0, 1e6))
def test_credentials_in_the_request_never_make_an_answer_storable(fields, status, default):
    assume(reason(*fields, status=status, default=default) is not None)
    for name in (b"authorization", b"cookie"):
        assert reason(*fields, status=status, default=default, request=[(name, b"x")]) is not None


@given(FIELDS, st.binary(max_size=20))
def test_no_further_line_makes_an_answer_to_authorization_storable(fields, noise):
    assume(reason(*fields, request=AUTHORIZED) is not None)
    assume(not any(word in noise.lower() for word in (b"public", b"s-maxage", b"must-revalidate")))
    assert reason(*fields, (CC, noise), request=AUTHORIZED) is not None
