"""What look-ups alone say of an answer is what the reader says, parser and rules and all."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.http.errors import BadGateway
from tidegate.http.framing import State
from tidegate.upstream import plain_answers
from tidegate.upstream.plain_answers import KnownLines
from tidegate.upstream.response_reader import ResponseReader

KNOWN = KnownLines()

FIELDS = st.sampled_from(
    [
        b"Server: a", b"server: a", b"date: today", b"age: 71", b"x-other: 1", b"set-cookie: a=b",
        b"content-length: 0", b"content-length: 2", b"Content-Length:2", b"content-length: 02",
        b"content-length: 3", b"transfer-encoding: chunked", b"transfer-encoding: gzip",
        b"connection: keep-alive", b"connection: close", b"connection: age", b"keep-alive: 5",
        b"via: 1.1 a", b"upgrade: h2c", b"trailer: age", b"bad name: x", b" folded", b"",
    ]
)  # fmt: skip
LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Gone missing", b"HTTP/1.1 204 No Content",
     b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 103 Early Hints", b"HTTP/1.0 200 OK",
     b"HTTP/1.1 200"]
)  # fmt: skip


def read(received: bytes, method: str) -> ResponseReader:
    reader = ResponseReader(KNOWN)
    reader.start(method)
    reader.feed(received)
    return reader


@given(
    st.sampled_from(["GET", "HEAD", "POST"]),
    LINES,
    st.lists(FIELDS, max_size=6),
    st.sampled_from([b"", b"ok", b"ok!", b"\r\n"]),
)
@example("GET", b"HTTP/1.1 200 OK", [b"content-length: 2", b"content-length: 2"], b"ok")
@example("GET", b"HTTP/1.1 200 OK", [b"content-length: 2", b"transfer-encoding: chunked"], b"ok")
@example("GET", b"HTTP/1.1 200 OK", [b"content-length: 2", b"connection: age", b"age: 71"], b"ok")
@example("HEAD", b"HTTP/1.1 200 OK", [b"content-length: 0"], b"")
def test_a_plain_answer_is_what_the_reader_reads(method, line, fields, body):
    received = b"\r\n".join([line, *fields, b"", b""]) + body
    try:
        reader = read(received, method)
    except BadGateway:
        assert KNOWN.plain_answer(received, method) is None
        return
    answer = KNOWN.plain_answer(received, method)
    if answer is None:
        return
    assert reader.state is State.DONE
    assert reader.is_reusable
    assert (answer.status, answer.reason) == (reader.status, reader.reason)
    assert (answer.headers, answer.content_length) == (reader.headers, reader.length)
    assert (answer.body, answer.ends_by_close) == (b"".join(reader.pieces), False)


PLAIN = b"HTTP/1.1 200 Seen\r\nserver: seen\r\nage: 71\r\ncontent-length: 2\r\n\r\nok"


def test_an_answer_of_lines_that_were_accepted_is_taken_whole():
    assert KNOWN.plain_answer(PLAIN, "GET") is None
    read(PLAIN, "GET")
    reordered = b"HTTP/1.1 200 Seen\r\nage: 71\r\ncontent-length: 2\r\nserver: seen\r\n\r\nok"
    reader = ResponseReader(KNOWN)
    reader.start("GET", lambda status, headers: None)
    answer = reader.whole(reordered)
    assert answer.headers == [(b"age", b"71"), (b"server", b"seen"), (b"via", b"1.1 tidegate")]
    assert answer.body == b"ok"
    assert reader._on_informational is None


@pytest.mark.parametrize(
    "changed",
    [
        PLAIN.replace(b"age", b"X-New"),
        PLAIN.replace(b"200 Seen", b"200 Unseen"),
        PLAIN[:-1],
        PLAIN + b"!",
        PLAIN[:20],
    ],
)
def test_whatever_is_new_or_not_whole_is_left_to_the_reader(changed):
    read(PLAIN, "GET")
    assert KNOWN.plain_answer(changed, "GET") is None


@pytest.mark.parametrize("body", [b"", b"ok"])
def test_no_part_of_an_answer_is_taken_for_the_whole(body):
    line = b"HTTP/1.1 302 Found in parts\r\n"
    plain = line + b"content-length: %d\r\nserver: seen\r\n\r\n" % len(body) + body
    read(plain, "GET")
    assert KNOWN.plain_answer(plain, "GET") is not None
    for end in range(len(plain)):
        assert KNOWN.plain_answer(plain[:end], "GET") is None


def test_nothing_is_taken_whole_behind_a_part_of_a_head():
    read(PLAIN, "GET")
    reader = ResponseReader(KNOWN)
    reader.start("GET")
    reader.feed(b"HTTP/1.1 200 ")
    assert reader.whole(PLAIN) is None


def test_an_answer_with_more_fields_than_the_bound_is_left_to_the_reader(monkeypatch):
    line, end = b"HTTP/1.1 200 Seen", b"\r\ncontent-length: 2\r\n\r\nok"
    many, few = line + b"\r\nserver: many\r\nage: 71" + end, line + b"\r\nage: 71" + end
    read(many, "GET")
    monkeypatch.setattr(plain_answers, "HEADER_FIELDS_MAX", 2)
    assert KNOWN.plain_answer(few, "GET") is not None
    assert KNOWN.plain_answer(many, "GET") is None


def test_a_head_that_is_known_says_nothing_of_the_next_body_or_method():
    read(PLAIN, "GET")
    assert KNOWN.plain_answer(PLAIN, "GET") is not None
    assert KNOWN.plain_answer(PLAIN, "HEAD") is None
    assert KNOWN.plain_answer(PLAIN + b"!", "GET") is None
    assert KNOWN.plain_answer(PLAIN[:-1], "GET") is None
    first, second = (KNOWN.plain_answer(PLAIN, "GET") for _ in range(2))
    first.headers.append((b"x-own", b"1"))
    assert (b"x-own", b"1") not in second.headers


def test_few_heads_are_known_and_no_long_one(monkeypatch):
    monkeypatch.setattr(plain_answers, "HEADS_MAX", 2)
    known = KnownLines()
    long = b"server: " + b"s" * 200
    for length in range(5):
        plain = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length + b"b" * length
        reader = ResponseReader(known)
        reader.start("GET")
        reader.feed(plain)
        assert known.plain_answer(plain, "GET") is not None
        assert 1 <= len(known._heads) <= 2
    before = set(known._heads)
    plain = b"HTTP/1.1 200 OK\r\n" + (long + b"\r\n") * 6 + b"content-length: 0\r\n\r\n"
    reader = ResponseReader(known)
    reader.start("GET")
    reader.feed(plain)
    assert known.plain_answer(plain, "GET") is not None
    assert set(known._heads) == before


def test_a_status_line_that_was_refused_is_not_remembered():
    refused = b"HTTP/1.1 200 Said here alone\r\nbad name: x\r\n\r\n"
    with pytest.raises(BadGateway):
        read(refused, "GET")
    assert KNOWN.plain_answer(PLAIN.replace(b"Seen", b"Said here alone"), "GET") is None
