"""Answers on the wire: each sent whole, byte by byte, and with bytes after it."""

from dataclasses import dataclass
from enum import Enum, auto

import pytest

from tidegate.http.errors import BadGateway
from tidegate.testing.scripted_upstream import Act

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
AFTER = (b"\r\n", b"X", OK + b"content-length: 0\r\n\r\n")


class Fate(Enum):
    REUSED = auto()
    """Complete, and the connection can carry another exchange."""
    CLOSED = auto()
    """Complete, and the connection is closed."""
    BROKEN = auto()
    """502, or a body that ends in an error: never a complete response."""


@dataclass(frozen=True)
class Case:
    name: str
    sent: bytes
    fate: Fate
    status: int = 200
    body: bytes = b""
    method: str = "GET"
    ending: Act | None = None


def whole(name, sent, body=b"", status=200, method="GET"):
    return Case(name, sent, Fate.REUSED, status, body, method)


def closed(name, sent, body=b"", status=200, ending=None):
    return Case(name, sent, Fate.CLOSED, status, body, ending=ending)


def broken(name, sent, ending=None, method="GET"):
    return Case(name, sent, Fate.BROKEN, method=method, ending=ending)


def fields(*lines: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


SIZED = fields(b"Content-Length: 2") + b"hi"
BREAKS = b"a\r\n\r\n\r\n\r"
LENGTH, CODING = b"content-length: 2", b"transfer-encoding: chunked"
NONE = b"content-length: 0\r\n\r\n"

PROPER = [
    whole("sized", SIZED, b"hi"),
    whole("empty", fields(b"Content-Length: 0")),
    whole("body that looks like an end", fields(b"Content-Length: 8") + BREAKS, BREAKS),
    whole("chunked", CHUNKED + b"2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", b"hi yo"),
    whole("chunked and empty", CHUNKED + b"0\r\n\r\n"),
    whole("line breaks as chunks", CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    whole("chunk extension and trailer", CHUNKED + b"2;a=b\r\nhi\r\n0\r\nx: y\r\n\r\n", b"hi"),
    whole("chunk size with zeros", CHUNKED + b"0002\r\nhi\r\n000\r\n\r\n", b"hi"),
    whole("no reason", b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"),
    whole("status 404", b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\n!", b"!", 404),
    whole("status 599", b"HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n\r\n", status=599),
    whole("HEAD, sized", fields(b"content-length: 5"), method="HEAD"),
    whole("HEAD, chunked", CHUNKED, method="HEAD"),
    whole("HEAD, no framing", fields(b"a: b"), method="HEAD"),
    whole("204", b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    whole("304 with a length", b"HTTP/1.1 304 X\r\ncontent-length: 9\r\n\r\n", status=304),
    whole("100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED, b"hi"),
    whole("103 with fields first", b"HTTP/1.1 103 E\r\nlink: </a>\r\n\r\n" + SIZED, b"hi"),
    whole("102 with a length", b"HTTP/1.1 102 P\r\ncontent-length: 2\r\n\r\n" + SIZED, b"hi"),
    whole("sixteen interim responses", b"HTTP/1.1 102 P\r\n\r\n" * 16 + SIZED, b"hi"),
    whole("a hundred fields", fields(*[b"a: b"] * 99, b"content-length: 0")),
    whole("keep-alive said", fields(b"connection: keep-alive", LENGTH) + b"hi", b"hi"),
]  # fmt: skip

CLOSING = [
    closed("connection: close", fields(b"content-length: 2", b"Connection: Close") + b"hi", b"hi"),
    closed("close among options", fields(b"content-length: 0", b"connection: x, close")),
    closed("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    closed("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
           b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
]  # fmt: skip

ENDED_BY_CLOSE = [
    closed("delimited by close", fields(b"a: b") + b"some text", b"some text", ending=Act.CLOSE),
    closed("delimited by close, empty", fields(b"a: b"), ending=Act.CLOSE),
    closed("HTTP/1.0 by close", b"HTTP/1.0 200 OK\r\n\r\nhi", b"hi", ending=Act.CLOSE),
]

IMPROPER = [
    broken("reset in a body delimited by close", fields(b"a: b") + b"some", Act.RESET),
    broken("sized, cut", fields(b"content-length: 5") + b"hi", Act.CLOSE),
    broken("sized, cut before the body", fields(b"content-length: 5"), Act.CLOSE),
    broken("chunked, cut between chunks", CHUNKED + b"2\r\nhi\r\n", Act.CLOSE),
    broken("chunked, cut before the end", CHUNKED + b"2\r\nhi\r\n0\r\n", Act.CLOSE),
    broken("head, cut", OK + b"content-length: 0\r\n", Act.CLOSE),
    broken("nothing", b"", Act.CLOSE),
    broken("only an interim response", b"HTTP/1.1 100 Continue\r\n\r\n", Act.CLOSE),
    broken("101 unasked", b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw"),
    broken("101 without upgrade", b"HTTP/1.1 101 S\r\n\r\n"),
    broken("seventeen interim responses", b"HTTP/1.1 102 P\r\n\r\n" * 17 + SIZED),
    *[broken(f"status {n}", b"HTTP/1.1 %b X\r\ncontent-length: 0\r\n\r\n" % n)
      for n in (b"000", b"099", b"600", b"999", b"1000", b"20", b"-20", b"2x0", b" 200")],
    *[broken(f"version {v}", v + b" 200 OK\r\ncontent-length: 0\r\n\r\n")
      for v in (b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"RTSP/1.0", b"ICE/1.0", b"http/1.1")],
    broken("interim, then RTSP", b"HTTP/1.1 100 C\r\n\r\nRTSP/1.0 200 OK\r\n" + NONE),
    broken("empty line first", b"\r\n" + SIZED),
    broken("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    broken("a bare body", b"<html>"),
    *[broken(f"reason with {c}", b"HTTP/1.1 200 a%bb\r\ncontent-length: 0\r\n\r\n" % c)
      for c in (b"\0", b"\x01", b"\x7f", b"\r", b"\n")],
    broken("NUL in a value", fields(b"a: b\0c", b"content-length: 0")),
    broken("bare LF", OK + b"a: b\ncontent-length: 0\r\n\r\n"),
    broken("LF alone throughout", b"HTTP/1.1 200 OK\ncontent-length: 0\n\n"),
    broken("folded line", fields(b"a: b", b" c", b"content-length: 0")),
    broken("blank before colon", fields(b"content-length : 0")),
    broken("bad name", fields(b"a(b: c", b"content-length: 0")),
    broken("no name", fields(b": c", b"content-length: 0")),
    broken("two lengths", fields(b"content-length: 2", b"content-length: 3") + b"hi"),
    broken("the same length twice", fields(b"content-length: 2", b"content-length: 2") + b"hi"),
    *[broken(f"length {v}", fields(b"content-length: " + v) + b"hi")
      for v in (b"+2", b"0x2", b"2,2", b"02", b"-2", b"2.0", b"", b"99999999999999999999")],
    broken("length and chunked", fields(LENGTH, CODING) + b"hi"),
    broken("chunked and length", fields(CODING, LENGTH) + b"hi"),
    *[broken(f"coding {v}", fields(b"transfer-encoding: " + v) + b"2\r\nhi\r\n0\r\n\r\n")
      for v in (b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked",
                b"chunked;a")],
    broken("identity, then chunked", fields(b"transfer-encoding: identity",
           b"transfer-encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n"),
    broken("one long field", fields(b"a: " + b"b" * 33_000, b"content-length: 0")),
    broken("fields without end", OK + b"a: b\r\n" * 6000),
    broken("a hundred and one fields", fields(*[b"a: b"] * 100, b"content-length: 0")),
    *[broken(f"chunk size {v}", CHUNKED + v + b"\r\nhi\r\n0\r\n\r\n")
      for v in (b"zz", b"-2", b"0x2", b" 2", b"2 ", b"fffffffffffffffff", b"")],
    broken("chunk longer than its size", CHUNKED + b"1\r\nhi\r\n0\r\n\r\n"),
    broken("chunk extension without end", CHUNKED + b"2;" + b"a" * 20_000),
    broken("zeros without end", CHUNKED + b"0" * 20_000),
    broken("trailers without end", CHUNKED + b"0\r\n" + b"a: b\r\n" * 4000),
    broken("reading on after HEAD", b"HTTP/1.1 banana", method="HEAD"),
]  # fmt: skip

LONG = 5000
"""Byte by byte, longer answers would only take long."""

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])  # reading does not depend on the loop


def ids(cases):
    return [case.name for case in cases]


@pytest.fixture
def answered(serve, client, ask, read):
    """Ask for `steps`; give server, client and what came: status and body, or None for a 502."""

    async def exchange(method, steps, byte_by_byte):
        server = await serve(steps, sends_byte_by_byte=byte_by_byte)
        upstream = client(server, timeouts={"first_byte": 5, "body_progress": 5})

        async def got():
            try:
                response = await upstream.send(ask(method))
                return response.status, await read(response)
            except BadGateway:
                return None

        return server, upstream, got

    return exchange


@pytest.mark.parametrize(
    "case", (cases := PROPER + CLOSING + ENDED_BY_CLOSE + IMPROPER), ids=ids(cases)
)
async def test_an_answer_is_complete_or_an_error(case, answered, counts, eventually):
    expected = None if case.fate is Fate.BROKEN else (case.status, case.body)
    is_reused = case.fate is Fate.REUSED
    steps = [case.sent, *([case.ending] if case.ending else [])]
    for byte_by_byte in (False, True) if len(case.sent) < LONG else (False,):
        server, upstream, got = await answered(case.method, steps, byte_by_byte)
        assert await got() == expected
        assert counts(upstream).idle == counts(upstream).held == is_reused
        if is_reused:
            assert await got() == expected
            assert server.connections_opened == 1
        else:
            await eventually(lambda server=server: server.connections_open == 0)


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", PROPER + CLOSING, ids=ids(PROPER + CLOSING))
async def test_bytes_after_an_answer_belong_to_nobody(
    case, byte_by_byte, answered, counts, eventually
):
    for after in AFTER:
        _, upstream, got = await answered(case.method, case.sent + after, byte_by_byte)
        assert await got() == (case.status, case.body)
        if not byte_by_byte:
            assert counts(upstream).idle == 0
        await eventually(lambda upstream=upstream: counts(upstream).held == 0)
