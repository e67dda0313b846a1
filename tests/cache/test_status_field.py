"""What the cache says it did, in the form of RFC 9211."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.status_field import Forwarded, appended, forwarded_fields, hit_fields


@pytest.mark.parametrize(
    ("ttl_s", "status", "x_cache"),
    [
        (59.9, b"tidegate; hit; ttl=59", b"HIT"),
        (0.0, b"tidegate; hit; ttl=0", b"HIT"),
        (-0.5, b"tidegate; hit; ttl=-1", b"STALE"),
    ],
)
def test_a_hit_tells_how_long_it_stays_fresh(ttl_s, status, x_cache):
    assert hit_fields(ttl_s) == ((b"cache-status", status), (b"x-cache", x_cache))


@pytest.mark.parametrize(
    ("fields", "status", "x_cache"),
    [
        (forwarded_fields(Forwarded.URI_MISS), b"tidegate; fwd=uri-miss", b"MISS"),
        (
            forwarded_fields(Forwarded.URI_MISS, is_stored=True),
            b"tidegate; fwd=uri-miss; stored",
            b"MISS",
        ),
        (
            forwarded_fields(Forwarded.VARY_MISS, is_collapsed=True),
            b"tidegate; fwd=vary-miss; collapsed",
            b"MISS",
        ),
        (
            forwarded_fields(Forwarded.STALE, status=304, is_stored=True),
            b"tidegate; fwd=stale; fwd-status=304; stored",
            b"REVALIDATED",
        ),
        (
            forwarded_fields(Forwarded.BYPASS, detail="Range"),
            b'tidegate; fwd=bypass; detail="Range"',
            b"BYPASS",
        ),
        (forwarded_fields(Forwarded.METHOD), b"tidegate; fwd=method", b"BYPASS"),
    ],
)
def test_a_forwarded_request_tells_why(fields, status, x_cache):
    assert fields == ((b"cache-status", status), (b"x-cache", x_cache))


def test_caches_nearer_to_the_service_come_first():
    assert (
        appended([b"origin; hit", b"a; b"], b"tidegate; hit") == b"origin; hit, a; b, tidegate; hit"
    )
    assert appended([], b"tidegate; hit") == b"tidegate; hit"


@given(st.text(max_size=20))
def test_any_reason_is_one_quoted_string(detail):
    value = hit_fields(1, detail)[0][1]
    # RFC 8941, section 3.3.3: printable ASCII, with `\\` and `"` escaped.
    string = rb'(; detail="(?:[ !#-\[\]-~]|\\["\\])*")?'
    assert re.fullmatch(rb"tidegate; hit; ttl=1" + string, value)
