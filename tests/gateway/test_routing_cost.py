"""Routing: what the looser readings of a path may cost, counted in bytes rather than in time."""

import contextlib
import sys
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tidegate.gateway import routing
from tidegate.gateway.routing import (
    MARKS_MAX,
    READING_COST_MAX,
    Match,
    RouteTable,
    loose_readings,
)
from tidegate.http.errors import BadRequest

ONE = RouteTable([Match("api", b"/api/v1")])
TARGET_BYTES_MAX = 8192
COSTLY = st.lists(
    st.sampled_from(
        [quote(text) for text in ("\ufdfa", "\u3316", "\u0f73", "\u0327\u0300", "\uff9e", "\uff05")]
        + ["/", "a/", "./", ";", "%3B", "%253B", "%2F", "%25", "%2525", "%EF%BC%9B", "%FF", "A"]
    ),
    min_size=1,
    max_size=8,
).map("".join)


@pytest.fixture
def work(monkeypatch):
    """Count what is normalised, in characters made, and what is made plain, in bytes read."""
    done = {"normalised": 0, "read": 0}
    plainest = routing._plainest

    def normalize(form, text):
        normalised = unicodedata.normalize(form, text)
        done["normalised"] += len(normalised)
        return normalised

    def counted_plainest(path):
        done["read"] += len(path)
        return plainest(path)

    class Counted:
        combining = staticmethod(unicodedata.combining)

    Counted.normalize = staticmethod(normalize)
    monkeypatch.setattr(routing, "unicodedata", Counted)
    monkeypatch.setattr(routing, "_plainest", counted_plainest)
    return done


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COSTLY, COSTLY, st.integers(200, TARGET_BYTES_MAX))
@example("/open/;/%3B/%253B/", quote("\ufdfa"), 8100)
@example("/open/;/%3B/%253B/", quote("\ufdfa"), 2500)
@example("/open/", quote("\ufdfa"), 4000)
@example("%EF%BC%9B%C4%B0", "A", 5800)
def test_no_path_is_much_work_for_a_caller_whom_nobody_knows(work, start, piece, length):
    work.update(normalised=0, read=0)
    start = f"/{start}"
    path = start + piece * ((length - len(start)) // len(piece))
    with contextlib.suppress(BadRequest):
        loose_readings(path.encode())
    assert work["normalised"] <= READING_COST_MAX
    assert work["read"] <= READING_COST_MAX


def test_a_path_that_is_too_much_work_is_refused_before_the_work(work):
    path = b"/open/;/%3B/%253B/" + b"%EF%B7%BA" * 895
    with pytest.raises(BadRequest, match="too long to be read"):
        loose_readings(path)
    assert work == {"normalised": 0, "read": 0}


@pytest.mark.parametrize(
    "key",
    [
        "\u65e5" * 341,
        "\u00e9" * 512,
        "\U0001f30a" * 256,
        "\u05d0\u05b8" * 256,
        "\u65e5\u672c/" * 146,
        "a;b c/" * 170,
        "\u65e5\u672c;" * 146,
    ],
)
def test_an_object_key_of_1024_bytes_passes_however_much_of_it_is_encoded(key):
    path = b"/api/v1/bucket/" + quote(key).encode()
    assert ONE.find("GET", b"h", path) == ("api", 7)


def test_the_longest_target_passes_with_a_little_of_it_encoded():
    path = b"/api/v1/a%20b/" + b"twenty-one-characters/" * 371
    assert ONE.find("GET", b"h", path[:TARGET_BYTES_MAX]) == ("api", 7)


@pytest.mark.parametrize(
    ("character", "marks"), [("\u0300", 1), ("\u0327", 1), ("\u0f73", 2), ("\uff9e", 1)]
)
def test_a_character_has_no_more_marks_than_any_language_writes(character, marks):
    at_most = quote(f"/api/v1/a{character * (MARKS_MAX // marks)}b").encode()
    assert ONE.find("GET", b"h", at_most) == ("api", 7)
    with pytest.raises(BadRequest, match="marks"):
        ONE.find("GET", b"h", quote(f"/api/v1/a{character * (MARKS_MAX + 1)}b").encode())


def test_every_character_that_becomes_a_mark_when_it_is_normalised_is_counted_as_one():
    late = [
        char
        for char in map(chr, range(0x80, sys.maxunicode + 1))
        if unicodedata.decomposition(char)
        and not unicodedata.combining(char)
        and unicodedata.combining(unicodedata.normalize("NFKD", char)[0])
    ]
    assert all(map(routing._LATE_MARKS.fullmatch, late))
