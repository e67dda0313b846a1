"""What the one pass over a head finds is what the rules find that see all of its fields."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.http import Headers
from tidegate.http.errors import BadGateway
from tidegate.http.framing import Framing, State, plain_response_framing, response_framing
from tidegate.http.headers import HOP_BY_HOP, connection_options
from tidegate.upstream.header_fields import add_via
from tidegate.upstream.plain_answers import KnownLines
from tidegate.upstream.response_head import StatusLines
from tidegate.upstream.response_reader import ResponseReader

KNOWN = KnownLines()
"""Kept from example to example, as it is from answer to answer."""

METHODS = st.sampled_from(["GET", "HEAD", "POST"])
STATUSES = st.sampled_from([200, 204, 205, 304, 404, 500])
FIELDS = st.one_of(
    st.tuples(
        st.just(b"content-length"), st.sampled_from([b"0", b"2", b"02", b"2, 2", b"", b"9" * 20])
    ),
    st.tuples(
        st.just(b"transfer-encoding"), st.sampled_from([b"chunked", b"Chunked", b"gzip", b""])
    ),
    st.tuples(
        st.just(b"connection"),
        st.sampled_from([b"keep-alive", b"Close", b"x-a", b"via, x-b", b"keep-alive, x-a", b""]),
    ),
    st.tuples(st.just(b"via"), st.sampled_from([b"1.1 a", b"1.0 b, 1.1 c"])),
    st.tuples(
        st.sampled_from([b"x-a", b"x-b", b"server", b"keep-alive", b"te", b"upgrade", b"trailer"]),
        st.sampled_from([b"", b"1"]),
    ),
)


def by_the_rules(method, status, version, fields):
    """What `ResponseReader` shall find, said slowly."""
    framing, length = response_framing(method, status, Headers(fields))
    options = connection_options(Headers(fields))
    dropped = (HOP_BY_HOP | {b"content-length"}) | options
    headers = Headers(field for field in fields if field[0] not in dropped)
    add_via(headers, version)
    is_kept = version == "1.1" and framing is not Framing.CLOSE and b"close" not in options
    return framing, length, sorted(headers), is_kept


def as_read(method, status, version, fields, step):
    reader = ResponseReader(KNOWN)
    reader.start(method)
    lines = [b"HTTP/%b %d X" % (version.encode(), status), *map(b": ".join, fields)]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    for start in range(0, len(head), step):
        reader.feed(head[start : start + step])
    is_at_end = reader.framing is Framing.NONE or reader.length == 0
    assert reader.state is (State.DONE if is_at_end else State.BODY)
    return reader.framing, reader.length, sorted(reader.headers), reader.is_reusable


@given(METHODS, STATUSES, st.sampled_from(["1.0", "1.1"]), st.lists(FIELDS, max_size=6))
@example("GET", 200, "1.1", [(b"server", b"1"), (b"content-length", b"2")])
@example("GET", 200, "1.1", [(b"content-length", b"2"), (b"content-length", b"2")])
@example("GET", 200, "1.1", [(b"connection", b"x-a"), (b"x-a", b"1"), (b"content-length", b"2")])
@example("HEAD", 200, "1.1", [(b"transfer-encoding", b"gzip")])
def test_a_head_is_read_as_the_rules_say(method, status, version, fields):
    try:
        expected = by_the_rules(method, status, version, fields)
    except BadGateway:
        for step in (1, 1000):
            with pytest.raises(BadGateway):
                as_read(method, status, version, fields, step)
        return
    for step in (1, 7, 1000):
        try:
            read = as_read(method, status, version, fields, step)
        except BadGateway as error:
            if "header is malformed" not in error.detail:  # llhttp refuses more than the rules
                raise
        else:
            assert read == expected


@given(METHODS, st.integers(200, 599), st.one_of(st.none(), st.integers(0, 10**18 - 1)))
def test_the_framing_of_a_plain_head_is_the_one_rule(method, status, length):
    lengths = [] if length is None else [(b"content-length", b"%d" % length)]
    expected = response_framing(method, status, Headers(lengths))
    assert (plain_response_framing(method, status, length), length) == expected


@pytest.mark.parametrize(
    "lines",
    [
        [b"content-length: 2", b"content-length: 2"],
        [b"content-length: 2", b"content-length: 3"],
        [b"content-length: 2", b"transfer-encoding: chunked"],
        [b"content-length: +2"],
    ],
)
def test_lengths_that_contradict_are_refused_without_the_parser(lines):
    reader = ResponseReader(KNOWN)
    reader.start("GET")
    with pytest.raises(BadGateway):
        reader._take_head(StatusLines().read(b"HTTP/1.1 200 OK"), lines)


def _read(octets: bytes) -> ResponseReader:
    reader = ResponseReader(KNOWN)
    reader.start("GET")
    reader.feed(octets)
    return reader


@pytest.mark.parametrize(
    "fields",
    [
        b"content-length: 2\r\ncontent-length: 2\r\n",
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
    ],
)
def test_known_lines_that_contradict_each_other_are_refused_each_time(fields):
    for line in fields.splitlines(keepends=True):
        _read(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")
    for _ in range(3):
        with pytest.raises(BadGateway):
            _read(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nok")
