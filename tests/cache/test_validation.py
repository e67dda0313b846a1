"""Validators towards the service and towards the client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache import validation
from tidegate.cache.storing import why_not_stored
from tidegate.http import Headers

OLD = b"Tue, 14 Nov 2023 22:13:19 GMT"
DATE = b"Tue, 14 Nov 2023 22:13:20 GMT"
NEW = b"Tue, 14 Nov 2023 22:13:21 GMT"
TAGGED = (b"etag", b'"x"')
MODIFIED = (b"last-modified", DATE)


@pytest.mark.parametrize(
    ("stored", "conditions"),
    [
        ([], []),
        ([TAGGED], [(b"if-none-match", b'"x"')]),
        ([(b"etag", b'W/"x"')], [(b"if-none-match", b'W/"x"')]),
        ([MODIFIED], [(b"if-modified-since", DATE)]),
        ([MODIFIED, TAGGED], [(b"if-none-match", b'"x"'), (b"if-modified-since", DATE)]),
        ([(b"etag", b"x")], []),
        ([(b"etag", b'w/"x"')], []),
        ([(b"etag", b'"x", "y"')], []),
        ([TAGGED, TAGGED], []),
        ([(b"last-modified", b"yesterday")], []),
        ([MODIFIED, MODIFIED], []),
    ],
)
def test_the_service_is_asked_by_what_it_gave(stored, conditions):
    assert validation.conditional_fields(Headers(stored)) == conditions


@pytest.mark.parametrize(
    ("stored", "of_304", "is_answered"),
    [
        ([TAGGED], [TAGGED], True),
        ([TAGGED], [(b"etag", b'W/"x"')], True),
        ([TAGGED], [(b"etag", b'"y"')], False),
        ([TAGGED], [(b"etag", b"x")], False),
        ([TAGGED], [TAGGED, (b"etag", b'"y"')], False),
        ([TAGGED], [], True),
        ([MODIFIED], [TAGGED], False),
        ([MODIFIED], [MODIFIED], True),
        ([MODIFIED], [(b"last-modified", NEW)], False),
        ([TAGGED], [MODIFIED], False),
        ([TAGGED, MODIFIED], [TAGGED, (b"last-modified", NEW)], True),
    ],
)
def test_a_304_of_another_response_is_recognised(stored, of_304, is_answered):
    assert validation.is_answered_by_304(Headers(stored), Headers(of_304)) is is_answered


def test_a_304_replaces_what_it_names_and_leaves_the_rest():
    stored = Headers([TAGGED, (b"cache-control", b"max-age=1"), (b"x-a", b"1"), (b"x-b", b"1")])
    of_304 = Headers([(b"x-a", b"2"), (b"x-a", b"3"), (b"cache-control", b"max-age=60"), TAGGED])
    assert validation.updated_by_304(stored, of_304) == [(b"x-b", b"1"), *of_304]


@pytest.mark.parametrize(
    "name", [b"content-length", b"content-encoding", b"content-type", b"content-range"]
)
def test_a_304_does_not_change_what_the_stored_body_is(name):
    assert validation.updated_by_304(Headers([(name, b"1")]), Headers([(name, b"2")])) == [
        (name, b"1")
    ]
    assert validation.updated_by_304(Headers(), Headers([(name, b"2")])) == []


def test_fields_of_the_connection_do_not_enter_by_a_304():
    of_304 = Headers([(b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"x")])
    assert validation.updated_by_304(Headers([TAGGED]), of_304) == [TAGGED]


def test_the_age_of_a_freshened_response_is_that_of_the_304():
    stored = Headers([(b"age", b"50"), (b"date", OLD), TAGGED])
    assert validation.updated_by_304(stored, Headers()) == [TAGGED]
    new = Headers([(b"age", b"1"), (b"date", NEW)])
    assert validation.updated_by_304(stored, new) == [TAGGED, *new]


@pytest.mark.parametrize(
    "field", [(b"cache-control", b"no-store"), (b"set-cookie", b"a=b"), (b"vary", b"*")]
)
def test_a_304_can_end_a_stored_response(field):
    updated = validation.updated_by_304(Headers([TAGGED]), Headers([field]))
    why = why_not_stored("GET", Headers(), 200, updated, default_ttl_s=9, response_time=0)
    assert why is not None


INM, IMS = b"if-none-match", b"if-modified-since"


@pytest.mark.parametrize(
    ("asked", "stored", "is_not_modified"),
    [
        ([(INM, b'"x"')], [TAGGED], True),
        ([(INM, b'W/"x"')], [TAGGED], True),
        ([(INM, b'"x"')], [(b"etag", b'W/"x"')], True),
        ([(INM, b'"y", "x"')], [TAGGED], True),
        ([(INM, b'"y"'), (INM, b'"x"')], [TAGGED], True),
        ([(INM, b',, "x" ,')], [TAGGED], True),
        ([(INM, b'"a,b", "x"')], [TAGGED], True),
        ([(INM, b"*")], [TAGGED], True),
        ([(INM, b"*")], [], True),
        ([(INM, b'""')], [(b"etag", b'""')], True),
        ([(INM, b'"y"')], [TAGGED], False),
        ([(INM, b'"X"')], [TAGGED], False),
        ([(INM, b"x")], [TAGGED], False),
        ([(INM, b'w/"x"')], [TAGGED], False),
        ([(INM, b'"x')], [TAGGED], False),
        ([(INM, b'"x" "y"')], [TAGGED], False),
        ([(INM, b'"y, "x"')], [TAGGED], False),
        ([(INM, b"")], [TAGGED], False),
        ([(INM, b'"x"')], [], False),
        ([(INM, b'"x"')], [TAGGED, (b"etag", b'"y"')], False),
        # If-None-Match hides If-Modified-Since.
        ([(INM, b'"y"'), (IMS, NEW)], [TAGGED, MODIFIED], False),
        ([(INM, b'"x"'), (IMS, OLD)], [TAGGED, MODIFIED], True),
        ([(IMS, DATE)], [MODIFIED], True),
        ([(IMS, NEW)], [MODIFIED], True),
        ([(IMS, OLD)], [MODIFIED], False),
        ([(IMS, b"Tuesday, 14-Nov-23 22:13:20 GMT")], [MODIFIED], True),
        ([(IMS, b"1700000000")], [MODIFIED], False),
        ([(IMS, NEW), (IMS, NEW)], [MODIFIED], False),
        ([(IMS, NEW)], [(b"last-modified", b"0"), (b"date", OLD)], False),
        ([(IMS, NEW)], [(b"date", DATE)], True),
        ([(IMS, OLD)], [(b"date", DATE)], False),
        ([(IMS, NEW)], [], False),
        ([(IMS, DATE)], [MODIFIED, (b"last-modified", NEW)], False),
        ([], [TAGGED, MODIFIED], False),
    ],
)
def test_the_client_s_own_copy_is_compared(asked, stored, is_not_modified):
    request, headers = Headers(asked), Headers(stored)
    assert validation.is_not_modified(request, 200, headers) is is_not_modified
    assert validation.is_not_modified(request, 404, headers) is False


def test_a_304_of_our_own_tells_nothing_about_a_body():
    stored = Headers(
        [TAGGED, (b"content-type", b"a/b"), (b"vary", b"x"), (b"content-length", b"1")]
    )
    assert validation.headers_for_304(stored) == [TAGGED, (b"vary", b"x")]


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_any_bytes_are_compared_without_an_error(asked, tag):
    headers = Headers([(b"etag", tag), (b"last-modified", tag)])
    for name in (INM, IMS):
        is_not_modified = validation.is_not_modified(Headers([(name, asked)]), 200, headers)
        assert is_not_modified <= (asked.strip(b" \t") == b"*" or tag.strip(b"W/") in asked)


@given(
    st.lists(st.tuples(st.sampled_from([b"x", b"etag", b"age", b"vary"]), st.binary(max_size=3)))
)
def test_the_same_304_twice_changes_nothing_more(fields):
    stored = Headers([TAGGED, MODIFIED])
    once = validation.updated_by_304(stored, Headers(fields))
    assert validation.updated_by_304(once, Headers(fields)) == once
