"""A head split here has the fields that llhttp itself would report; secrets are never kept."""

import pytest
from httptools import HttpParserError, HttpResponseParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.http.errors import BadGateway
from tidegate.http.framing import content_length
from tidegate.http.headers import HOP_BY_HOP
from tidegate.upstream.field_lines import (
    IGNORED,
    LINE_BYTES_MAX,
    LINES_MAX,
    NAMES_MAX,
    SAYING,
    FieldLines,
)
from tidegate.upstream.response_head import STATUS_LINES_MAX, PartialHead, StatusLines


class Oracle:
    """What llhttp reports of a head: reason and fields, its own callbacks being the truth."""

    def __init__(self, head):
        self.fields = []
        self.reason = b""
        self.parser = HttpResponseParser(self)
        self.parser.feed_data(head)

    def on_status(self, reason):
        self.reason += reason

    def on_header(self, name, value):
        self.fields.append((name.lower(), value.strip(b" \t")))


SHARED = FieldLines()
"""Kept from example to example, as it is from answer to answer."""


def look_up(lines, line):
    if line in lines.passing:
        return lines.passing[line], None
    field, note = lines.split(line)
    return field, lines.noted.get(line, note)


NAMES = [b"Server", b"date", b"Content-Type", b"content-length", b"Set-Cookie", b"X-A", b"ETag",
         b"Connection", b"via", b"Vary", b"keep-alive", b"", b"a b",
         b" a", b"a\t", b"a\x00", b"\xe4"]  # fmt: skip
BLANKS = st.text(" \t", max_size=3).map(str.encode)
TEXT = st.one_of(
    st.sampled_from([b"", b"a", b"a:b", b":", b"a\tb", b"a b", b"close", b"keep-alive", b"5", b"05",
                     b"\xff\x80", b"a\rb", b"a\nb", b"\r\n b", b"\r\n\tb", b"a\0b", b"\x7f",
                     b"\x0b", b"a\x0b ", b"\x0c", b"\x85", b"\xa0 "]),
    st.binary(max_size=12),
    st.text("ab: \t,;=\"", max_size=12).map(str.encode),
)  # fmt: skip
PROPER_NAME = st.text("aZ09!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
LINES = st.lists(
    st.builds(
        lambda name, before, text, after, end: name + b":" + before + text + after + end,
        st.one_of(st.sampled_from(NAMES), PROPER_NAME),
        BLANKS,
        TEXT,
        BLANKS,
        st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"", b"\r\n ", b"\n\r\n"]),
    ),
    max_size=6,
).map(b"".join)
FIRST = st.one_of(
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 404 Not Found", b"HTTP/1.1 200"]),
    st.builds(lambda reason: b"HTTP/1.1 200" + reason, st.binary(max_size=6)),
    st.builds(lambda reason: b"HTTP/1.1 200 " + reason, st.text(" \tab\x7f\xe4", max_size=6)
              .map(lambda text: text.encode("latin-1"))),
)  # fmt: skip


def whole_head(first, lines):
    before, end, _ = (first + b"\r\n" + lines + b"\r\n\r\n").partition(b"\r\n\r\n")
    return before + end


def judgement(head):
    StatusLines().read(head.split(b"\r\n")[0])
    return Oracle(head)


@settings(max_examples=400, deadline=None)
@given(first=FIRST, lines=LINES)
@example(b"HTTP/1.1 200 OK", b"a:\r\nb: \t \r\nc:x: y \r\nd:\tz\t\r\n")
@example(b"HTTP/1.1 200 OK", b"a:\r\n b\r\n")
@example(b"HTTP/1.1 200 OK", b"a: b\r\n\tc\r\n")
@example(b"HTTP/1.1 200 ", b"")
@example(b"HTTP/1.1 200  two blanks ", b"")
def test_a_head_that_llhttp_accepts_is_split_as_llhttp_reports_it(first, lines):
    head = whole_head(first, lines)
    try:
        reported = Oracle(head)
    except HttpParserError:
        return
    status_line, *split, _, _ = head.split(b"\r\n")
    assert [look_up(SHARED, line)[0] for line in split] == reported.fields
    try:
        status, reason, version, _ = StatusLines().read(status_line)
    except BadGateway:
        return  # stricter than llhttp, never otherwise
    assert reason == (reported.reason or None)
    assert (status, version) == (
        reported.parser.get_status_code(),
        reported.parser.get_http_version(),
    )


@settings(max_examples=150, deadline=None)
@given(first=FIRST, lines=LINES, cuts=st.lists(st.integers(1, 60), max_size=5))
def test_a_head_in_parts_is_judged_as_the_whole_one(first, lines, cuts):
    head = whole_head(first, lines)
    partial, left, seen = PartialHead(), head, (b"", b"", b"")
    try:
        for cut in [*cuts, len(head)]:
            part, left = left[:cut], left[cut:]
            if part:
                assert not any(seen)
                seen = partial.feed(part)
    except BadGateway:
        with pytest.raises((HttpParserError, BadGateway)):
            judgement(head)
    else:
        Oracle(head)
        assert seen == (head[:-4], b"\r\n\r\n", b"")


@pytest.mark.parametrize(
    "line", [b"", b"a", b" a: b", b"a : b", b"\ta: b", b": b", b"a\r: b", b"a\n"]
)
def test_a_line_that_is_no_field_is_refused_without_the_parser(line):
    with pytest.raises(BadGateway):
        FieldLines().split(line)


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (b"Server: x", None),
        (b"Set-Cookie: a=b", None),
        (b"Content-Length: 0", 0),
        (b"content-length:12", 12),
        (b"content-length: 012", SAYING),
        (b"content-length:", SAYING),
        (b"content-length: 1, 1", SAYING),
        (b"Connection: Keep-Alive", IGNORED),
        (b"Connection: close", SAYING),
        (b"Connection: keep-alive, x", SAYING),
        (b"Transfer-Encoding: chunked", SAYING),
        (b"Via: 1.1 x", SAYING),
        *(
            (name + b": x", IGNORED)
            for name in sorted(HOP_BY_HOP - {b"connection", b"transfer-encoding"})
        ),
    ],
)
def test_a_line_is_noted_if_its_field_ends_here(line, note):
    lines = FieldLines()
    assert look_up(lines, line)[1] == note
    assert look_up(lines, line)[1] == note


@given(value=st.binary(max_size=24))
def test_the_note_of_a_length_is_the_one_rule_of_framing(value):
    stripped = value.strip(b" \t")
    length = content_length(stripped)
    note = look_up(SHARED, b"content-length:" + value)[1]
    assert note == (SAYING if length is None else length)


@pytest.mark.parametrize(
    "name",
    [b"Set-Cookie", b"set-cookie2", b"Authorization", b"Authentication-Info", b"Location", b"ETag",
     b"WWW-Authenticate", b"Proxy-Authenticate", b"X-Auth-Token", b"Anything-Else", b"Link"],
)  # fmt: skip
def test_what_may_be_secret_is_never_kept(name):
    lines = FieldLines()
    assert look_up(lines, name + b": secret")[0] == (name.lower(), b"secret")
    assert not lines.passing
    assert not lines.noted


def test_what_is_kept_is_bounded():
    lines, said = FieldLines(), StatusLines()
    for number in range(3 * LINES_MAX):
        lines.split(b"age: %d" % number)
        lines.split(b"x-%d: a" % number)
        lines.split(b"content-length: %d" % number)
        said.keep(b"%d" % number, said.read(b"HTTP/1.1 200 %d" % number))
        assert len(lines.passing) + len(lines.noted) <= LINES_MAX
        assert len(lines._names) <= NAMES_MAX
        assert len(said.kept) <= STATUS_LINES_MAX
    lines.passing.clear()
    assert lines.split(b"server: " + b"a" * LINE_BYTES_MAX)[0][1] == b"a" * LINE_BYTES_MAX
    assert not lines.passing
