"""Where a message ends: every accepted and refused combination, and every step of the table."""

import itertools

import pytest

from tidegate.http.errors import BadGateway, BadRequest, ContentTooLarge, UnknownTransferCoding
from tidegate.http.framing import (
    NEXT,
    Event,
    Framing,
    ProtocolViolation,
    State,
    advance,
    chunk,
    request_framing,
    response_framing,
)
from tidegate.http.headers import Headers

BODY_MAX = 1000


def headers_of(*fields: str) -> Headers:
    pairs = (field.split(":", 1) for field in fields)
    return Headers((name.encode(), value.strip(" ").encode()) for name, value in pairs)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], (Framing.NONE, 0)),
        (["content-length: 0"], (Framing.SIZED, 0)),
        (["content-length: 1000"], (Framing.SIZED, 1000)),
        (["transfer-encoding: chunked"], (Framing.CHUNKED, None)),
        (["transfer-encoding: Chunked"], (Framing.CHUNKED, None)),
    ],
)
def test_a_request_body_ends_where_its_fields_say(fields, expected):
    assert request_framing("1.1", headers_of(*fields), BODY_MAX) == expected


@pytest.mark.parametrize(
    ("version", "fields", "error"),
    [
        ("1.1", ["content-length: 1001"], ContentTooLarge),
        ("1.1", ["content-length: 18446744073709551615"], BadRequest),
        ("1.1", ["content-length: +1"], BadRequest),
        ("1.1", ["content-length: 0001"], BadRequest),
        ("1.1", ["content-length: 1, 1"], BadRequest),
        ("1.1", ["content-length: 1", "content-length: 1"], BadRequest),
        ("1.1", ["content-length: "], BadRequest),
        ("1.1", ["content-length: ١"], BadRequest),
        ("1.1", ["transfer-encoding: chunked", "content-length: 1"], BadRequest),
        (
            "1.1",
            ["transfer-encoding: identity", "transfer-encoding: chunked"],
            UnknownTransferCoding,
        ),
        ("1.1", ["transfer-encoding: gzip, chunked"], UnknownTransferCoding),
        ("1.1", ["transfer-encoding: gzip"], BadRequest),
        ("1.1", ["transfer-encoding: ,chunked"], BadRequest),
        ("1.1", ["transfer-encoding: chunked,"], BadRequest),
        ("1.1", ["transfer-encoding: chunked, chunked"], BadRequest),
        ("1.1", ["transfer-encoding: chunked", "transfer-encoding: chunked"], BadRequest),
        ("1.1", ["transfer-encoding: chunked;q=1"], BadRequest),
        ("1.1", ["transfer-encoding: xchunked"], BadRequest),
        ("1.1", ["transfer-encoding: "], BadRequest),
        ("1.0", ["transfer-encoding: chunked"], BadRequest),
    ],
)
def test_a_request_whose_end_could_be_read_in_two_ways_is_refused(version, fields, error):
    with pytest.raises(error):
        request_framing(version, headers_of(*fields), BODY_MAX)


@pytest.mark.parametrize(
    ("method", "status", "fields", "expected"),
    [
        ("GET", 200, ["content-length: 5"], (Framing.SIZED, 5)),
        ("GET", 200, ["transfer-encoding: chunked"], (Framing.CHUNKED, None)),
        ("GET", 200, [], (Framing.CLOSE, None)),
        ("HEAD", 200, ["content-length: 5"], (Framing.NONE, 5)),
        ("HEAD", 200, ["transfer-encoding: chunked"], (Framing.NONE, None)),
        ("HEAD", 200, [], (Framing.NONE, None)),
        ("GET", 304, ["content-length: 5"], (Framing.NONE, 5)),
        ("GET", 204, [], (Framing.NONE, None)),
    ],
)
def test_a_response_body_ends_where_method_status_and_fields_say(method, status, fields, expected):
    assert response_framing(method, status, headers_of(*fields)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        ["content-length: 5", "content-length: 6"],
        ["content-length: 5", "content-length: 5"],
        ["content-length: x"],
        ["content-length: 5", "transfer-encoding: chunked"],
        ["transfer-encoding: gzip"],
        ["transfer-encoding: gzip, chunked"],
    ],
)
def test_a_response_that_could_be_read_in_two_ways_is_a_bad_gateway(fields):
    with pytest.raises(BadGateway):
        response_framing("GET", 200, headers_of(*fields))


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_step_is_in_the_table_or_illegal(state, event):
    if (state, event) in NEXT:
        assert advance(state, event) is NEXT[state, event]
    else:
        with pytest.raises(ProtocolViolation, match=f"{event.name} while {state.name}"):
            advance(state, event)


def test_nothing_leaves_the_closed_state():
    assert not [step for step in NEXT if step[0] is State.CLOSED]


def test_a_chunk_is_its_size_in_hex_and_its_bytes():
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
