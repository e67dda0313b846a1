"""The target and Host: one table of what is refused and one of what is made of the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.errors import BadRequest
from tidegate.http.target import normalised_path, parse_target

ACCEPTED = [
    ("plain", b"/a/b", b"/a/b", None),
    ("root", b"/", b"/", None),
    ("query", b"/a?b=c&d=%20", b"/a", b"b=c&d=%20"),
    ("empty query is kept", b"/a?", b"/a", b""),
    ("brackets in the query", b"/a?f[x]=1", b"/a", b"f[x]=1"),
    ("question mark in the query", b"/a?b?c", b"/a", b"b?c"),
    ("dot segment", b"/a/./b", b"/a/b", None),
    ("double dot", b"/a/b/../c", b"/a/c", None),
    ("trailing double dot leaves a slash", b"/a/b/..", b"/a/", None),
    ("encoded dots are dots", b"/a/%2e%2E/b", b"/b", None),
    ("a name that begins with dots", b"/a/..b/.c", b"/a/..b/.c", None),
    ("unreserved triplets are decoded", b"/%41%7Eb", b"/A~b", None),
    ("other triplets keep their meaning", b"/a%2fb%3b", b"/a%2Fb%3B", None),
    ("double encoding is decoded once", b"/%252e%252e/a", b"/%252e%252e/a", None),
    ("double slash stays", b"//a//b", b"//a//b", None),
    ("parameters stay", b"/a;v=1/b", b"/a;v=1/b", None),
    ("asterisk", b"*", b"*", None),
    ("absolute form", b"http://other.example/a?b", b"/a", b"b"),
    ("absolute form without a path", b"http://other.example", b"/", None),
    ("absolute form with only a query", b"http://other.example?q", b"/", b"q"),
]

REFUSED = [
    b"",
    b"a",
    b"a/b",
    b"/a b",
    b"/a#b",
    b"/a?b#c",
    b"/<a>",
    b'/"',
    b"/{a}",
    b"/a|b",
    b"/a\\b",
    b"/a^b",
    b"/a`b",
    b"/%",
    b"/%4",
    b"/%zz",
    b"/a?%zz",
    b"/a?b c",
    b"/a?<",
    b"/\x7f",
    b"/\xc3\xa9",
    b"/a\x00",
    b"/%00",
    b"/..",
    b"/a/../..",
    b"/%2e%2e/etc",
    b"http://user@h/a",
    b"http://user:pass@h/a",
    b"http:///a",
    b"http://h:port/a",
    b"http://h/a#f",
    b"ftp://h/a",
    b"h:443",
    b"**",
]


@pytest.mark.parametrize(("name", "raw", "path", "query"), ACCEPTED, ids=lambda v: str(v))
def test_an_accepted_target_has_one_forwarded_form(name, raw, path, query):
    assert parse_target(raw, [b"h"], "1.1")[1:] == (path, query)


@pytest.mark.parametrize("raw", REFUSED)
def test_a_target_that_could_be_read_in_two_ways_is_refused(raw):
    with pytest.raises(BadRequest):
        parse_target(raw, [b"h"], "1.1")


def test_an_absolute_target_names_the_host_itself():
    assert parse_target(b"http://Other.example:81/a", [b"h"], "1.1")[0] == b"other.example:81"


@pytest.mark.parametrize(
    "host",
    [b"a", b"a.example", b"A.Example:8000", b"127.0.0.1", b"[::1]:80", b"a.", b"a_b", b"xn--e1a"],
)
def test_a_valid_host_is_taken_in_lower_case(host):
    assert parse_target(b"/", [host], "1.1")[0] == host.lower()


@pytest.mark.parametrize(
    "host",
    [b"", b" ", b"a b", b"a/b", b"a@b", b"a:b", b"a:", b"a:123456", b"[::1", b"a,b", b"a?b", b"-a"],
)
def test_an_invalid_host_is_refused(host):
    with pytest.raises(BadRequest, match="Host"):
        parse_target(b"/", [host], "1.1")


def test_a_host_given_twice_is_refused_even_if_both_agree():
    with pytest.raises(BadRequest, match="more than once"):
        parse_target(b"/", [b"a", b"a"], "1.1")


def test_only_http_1_0_may_come_without_host():
    assert parse_target(b"/", [], "1.0")[0] == b""
    with pytest.raises(BadRequest, match="missing"):
        parse_target(b"/", [], "1.1")


SEGMENT = st.sampled_from([b".", b"..", b"%2e", b"%2E.", b"a", b"B", b"%41", b"", b"%2f", b"..a"])


@given(st.lists(SEGMENT, min_size=1, max_size=8))
def test_normalising_is_idempotent_and_leaves_no_dot_segment(segments):
    path = b"/" + b"/".join(segments)
    try:
        once = normalised_path(path)
    except BadRequest:
        return
    assert normalised_path(once) == once
    assert once.startswith(b"/")
    assert not {b".", b".."} & set(once.split(b"/"))
