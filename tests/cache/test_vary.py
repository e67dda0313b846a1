"""What selects a stored response, and when two requests select the same."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.cache import vary
from tidegate.cache.vary import DIGEST_BYTES, selecting_values, vary_names
from tidegate.http import Headers


def names(*values):
    return vary_names(Headers([(b"vary", value) for value in values]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        ([b""], ()),
        ([b" , ,"], ()),
        ([b"Accept"], (b"accept",)),
        ([b"b, A ,a"], (b"a", b"b")),
        ([b"b", b"a,b"], (b"a", b"b")),
    ],
)
def test_names_are_a_set(values, expected):
    assert names(*values) == expected


@pytest.mark.parametrize(
    "values",
    [
        [b"*"],
        [b"*, *"],
        [b"*", b"*"],
        [b", *"],
        [b"", b"*"],
        [b"*, accept"],
        [b"accept, *"],
        [b"accept", b" *"],
        [b"accept encoding"],
        [b"accept; q=1"],
        [b'"accept"'],
        [b"\xff"],
    ],
)
def test_a_star_or_what_is_no_name_selects_nothing(values):
    assert names(*values) is None


@pytest.mark.parametrize(
    "name",
    [b"X-Tidegate-Tenant", b"x-tidegate-anything", b"X-API-Key", b"X-Forwarded-For", b"Forwarded",
     b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Via", b"X-Request-ID", b"traceparent"],
)  # fmt: skip
def test_a_field_that_the_gateway_writes_selects_nothing(name):
    assert names(name) is None
    assert names(b"accept, " + name) is None


def selected(name, *values):
    return selecting_values((name,), Headers([(b"x", b"y"), *((name, value) for value in values)]))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (b"accept", [b"a/b, c/d"], [b"a/b ,c/d"]),
        (b"accept", [b"a/b, c/d"], [b"a/b", b"c/d"]),
        (b"accept-encoding", [b"GZIP,br"], [b"gzip, br"]),
        (b"accept-language", [b"de-DE"], [b"DE-de"]),
        (b"cookie", [b"a, b"], [b"a", b"b"]),
    ],
)
def test_differences_that_mean_nothing_are_levelled(name, one, other):
    assert selected(name, *one) == selected(name, *other)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (b"accept", [b"a/b"], []),
        (b"accept", [], [b""]),
        (b"accept", [b"a/b, c/d"], [b"c/d, a/b"]),
        (b"accept", [b"a/b;x=Y"], [b"a/b;x=y"]),
        (b"accept", [b'a/b;x="1 , 2"'], [b'a/b;x="1,2"']),
        (b"cookie", [b"a=B"], [b"a=b"]),
        (b"user-agent", [b"a , b"], [b"a,b"]),
        (b"authorization", [b"Bearer x"], [b"bearer x"]),
    ],
)
def test_all_other_differences_select_apart(name, one, other):
    assert selected(name, *one) != selected(name, *other)


def test_other_fields_and_their_order_do_not_matter():
    one = Headers([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    other = Headers([(b"d", b"4"), (b"b", b"2"), (b"a", b"1")])
    assert selecting_values((b"a", b"b"), one) == selecting_values((b"a", b"b"), other)


def test_no_names_select_everything():
    assert selecting_values((), Headers([(b"a", b"1")])) == b""


def test_what_a_client_sent_is_not_in_the_digest():
    digest = selected(b"cookie", b"session=secret" * 1000)
    assert b"secret" not in digest
    assert len(digest) == DIGEST_BYTES


@pytest.mark.parametrize(
    ("values", "digest"),
    [
        ([b"gzip, br"], "bec89ad984b575af1944570f6f5bd1888b7831a8"),
        ([b"gzip", b"BR"], "bec89ad984b575af1944570f6f5bd1888b7831a8"),
        ([], "9f1977e76ff7f1bb7af7977aac28c63a035dbc89"),
    ],
)
def test_a_digest_is_the_same_for_all_workers_whether_it_is_remembered_or_not(values, digest):
    for _ in range(2):
        assert selected(b"accept-encoding", *values).hex() == digest


@pytest.mark.parametrize(
    ("name", "value", "is_remembered"),
    [
        (b"accept-encoding", b"gzip", True),
        (b"accept-encoding", b"x" * (vary.REMEMBERED_BYTES_MAX + 1), False),
        (b"cookie", b"session=secret", False),
    ],
)
def test_nothing_secret_or_long_is_remembered(name, value, is_remembered):
    vary._remembered.cache_clear()
    selected(name, value)
    assert (vary._remembered.cache_info().currsize == 1) is is_remembered


VALUES = st.one_of(st.none(), st.binary(max_size=6), st.sampled_from([b";", b":", b"b:1:x;"]))


@given(VALUES, VALUES, VALUES, VALUES)
@example(b"1;b:2", b"3", b"1", b"2;b:3")
@example(b"1;b", None, b"1", None)
def test_no_value_can_pass_for_another(a1, b1, a2, b2):
    def digest(a, b):
        fields = [(name, v) for name, v in ((b"a", a), (b"b", b)) if v is not None]
        return selecting_values((b"a", b"b"), Headers(fields))

    assert (digest(a1, b1) == digest(a2, b2)) == ((a1, b1) == (a2, b2))
