"""What an unsafe request makes invalid, and what it must not reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.invalidation import invalidated_targets
from tidegate.http import Headers


def targets(*fields, method="POST", status=201, target=b"/a/b?c", host=b"shop.test", scheme="http"):
    return invalidated_targets(method, scheme, host, target, status, Headers(fields))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "FOO", "get"])
@pytest.mark.parametrize("status", [200, 201, 204, 301, 303, 304, 399])
def test_an_unsafe_request_that_succeeds_invalidates_its_target(method, status):
    assert targets(method=method, status=status) == (b"/a/b?c",)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_request_invalidates_nothing(method):
    assert targets((b"location", b"/x"), method=method) == ()


@pytest.mark.parametrize("status", [100, 199, 400, 404, 409, 500, 503])
def test_a_request_that_fails_invalidates_nothing(status):
    assert targets((b"location", b"/x"), status=status) == ()


@pytest.mark.parametrize("name", [b"location", b"content-location"])
@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (b"/x", b"/x"),
        (b"x", b"/a/x"),
        (b"../x", b"/x"),
        (b"?y", b"/a/b?y"),
        (b"/x#fragment", b"/x"),
        (b"/x?y#fragment", b"/x?y"),
        (b"http://shop.test/x", b"/x"),
        (b"HTTP://SHOP.test:80/x", b"/x"),
        (b"http://shop.test", b"/"),
        (b"//shop.test/x", b"/x"),
        (b"/%7ex%2f", b"/~x%2F"),
    ],
)
def test_what_the_answer_names_is_invalid_too(name, reference, target):
    assert targets((name, reference)) == (b"/a/b?c", target)


@pytest.mark.parametrize("name", [b"location", b"content-location"])
@pytest.mark.parametrize(
    "reference",
    [
        b"http://other.test/x",
        b"//other.test/x",
        b"https://shop.test/x",
        b"http://shop.test:8080/x",
        b"http://shop.test.evil/x",
        b"http://user@shop.test/x",
        b"mailto:shop.test",
        b"javascript:x",
        b"http://[/x",
        b"http://shop.test:99999/x\x00",
        b"/a b",
        b"/\xff",
        b"/%00",
    ],
)
def test_another_origin_or_no_reference_at_all_is_out_of_reach(name, reference):
    assert targets((name, reference)) == (b"/a/b?c",)


def test_a_port_is_part_of_the_origin():
    at_port = (b"location", b"http://shop.test:8000/x")
    assert targets(at_port, host=b"shop.test:8000") == (b"/a/b?c", b"/x")
    default = (b"location", b"https://shop.test:443/x")
    assert targets(default, scheme="https") == (b"/a/b?c", b"/x")


def test_a_target_named_twice_is_one():
    assert targets((b"location", b"/x"), (b"content-location", b"/x")) == (b"/a/b?c", b"/x")
    assert targets((b"location", b"b?c")) == (b"/a/b?c",)


@given(st.lists(st.tuples(st.just(b"location"), st.binary(max_size=40)), max_size=3))
def test_any_bytes_are_read_without_an_error(fields):
    found = targets(*fields)
    assert found[0] == b"/a/b?c"
    assert all(target.startswith(b"/") for target in found)
