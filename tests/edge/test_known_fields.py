"""Fields that are known are not read again, and nobody can tell: not by what is answered."""

import re
from contextlib import suppress
from sys import getrefcount

import httptools
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.edge.wire_cases import CASES
from tidegate.edge.head import is_usual, read_head
from tidegate.edge.native.known_fields import BLOCKS_MAX, LINES_MAX, KnownFields
from tidegate.http import Headers, Response
from tidegate.http.errors import GatewayError

FIELDS = b"Host: a\r\nX-API-Key: k\r\nAccept: */*\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\n" + FIELDS
LINES = [case.sent.split(b"\r\n")[0] for case in CASES if len(case.sent) < 1024]
HEADS = [case.sent.partition(b"\r\n\r\n")[0] for case in CASES if len(case.sent) < 1024]


class Parsed:
    """What llhttp says of a head."""

    def __init__(self, octets: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.is_complete = self.is_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        with suppress(httptools.HttpParserError):
            try:
                self.parser.feed_data(octets)
            except httptools.HttpParserUpgrade:
                self.is_upgrade = True

    def on_message_complete(self) -> None:
        self.is_complete = True


def read(head: bytes):
    """Return the request and the connection that the ordinary way makes of `head`."""
    line, *lines = head[:-4].split(b"\r\n")
    method, target, protocol = line.split(b" ")
    fields = [text.partition(b":") for text in lines]
    return read_head(method.decode(), target, protocol[5:].decode(), fields, 2048)


def known(header_bytes: int = 4096, target_bytes: int = 512) -> KnownFields:
    return KnownFields(header_bytes, target_bytes)


def taught(head: bytes) -> KnownFields:
    """Return what a door knows after `head`, as its reader would teach it."""
    learned = known()
    request, connection = read(head)
    if is_usual(connection) and head.startswith(request.method.encode()):
        learned.keep(head, request.headers)
    return learned


def seen(request) -> tuple:
    names = ("method", "path", "query", "host", "headers", "http_version", "content_length", "body")
    return tuple(getattr(request, name) for name in names)


@settings(max_examples=300, deadline=None)
@given(line=st.sampled_from(LINES), head=st.sampled_from(HEADS), flip=st.integers(0, 400))
def test_what_is_known_is_what_parser_and_checks_would_say(line, head, flip):
    block = head.partition(b"\r\n")[2] + b"\r\n\r\n"
    assume(Parsed(GET.partition(b"\r\n")[0] + b"\r\n" + block).is_complete)
    learned = known()
    with suppress(GatewayError, ValueError):
        learned = taught(b"GET /first HTTP/1.1\r\n" + block)
    octets = line[: flip % (len(line) + 1)] + b"/" * (flip > 350) + line[flip % (len(line) + 1) :]
    octets += b"\r\n" + block
    request = learned.request_of(octets, "")
    if request is None:
        return
    parsed = Parsed(octets)
    assert parsed.is_complete
    assert not parsed.is_upgrade
    assert parsed.parser.should_keep_alive()
    expected, connection = read(octets)
    assert is_usual(connection)
    assert seen(request) == seen(expected)


def test_the_fields_of_a_repeated_head_are_known():
    learned = taught(GET)
    assert seen(learned.request_of(GET, "")) == seen(read(GET)[0])
    other = b"POST /other?q HTTP/1.1\r\n" + FIELDS
    assert seen(learned.request_of(other, "")) == seen(read(other)[0])


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: upgrade",
        b"Connection: keep-alive, x-a",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"TE: trailers",
    ],
)
def test_fields_about_the_connection_are_never_known(field):
    head = b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % field
    assert taught(head).request_of(head, "") is None


def test_a_plain_keep_alive_may_be_known():
    head = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    assert taught(head).request_of(head, "") is not None


@pytest.mark.parametrize(
    "line",
    [
        b"GET /x HTTP/1.0",
        b"GET  /x HTTP/1.1",
        b"get /x HTTP/1.1",
        b"CONNECT /x HTTP/1.1",
        b"GET http://b/x HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /x#y HTTP/1.1",
        b"GET /%00 HTTP/1.1",
        b"GET /../x HTTP/1.1",
        b"GET /x\nX: HTTP/1.1",
        b"GET /x HTTP/1.1\r",
        b"\r\nGET /x HTTP/1.1",
        b"GET /x HTTP/1.1\r\nX-A: b",
        b"GET /" + b"x" * 600 + b" HTTP/1.1",
    ],
)
def test_only_a_plain_line_makes_use_of_known_fields(line):
    assert taught(GET).request_of(line + b"\r\n" + FIELDS, "") is None


def test_more_or_less_than_one_head_is_not_known():
    learned = taught(GET)
    assert learned.request_of(GET + b"x", "") is None
    assert learned.request_of(GET + GET, "") is None
    assert learned.request_of(GET[:-1], "") is None


def test_the_bounds_of_the_door_hold_for_known_fields():
    assert known(header_bytes=100).head_bytes_max == 100
    learned = known(target_bytes=32)
    learned.keep(GET, read(GET)[0].headers)
    assert learned.request_of(GET, "") is not None
    assert learned.request_of(b"GET /" + b"x" * 32 + b" HTTP/1.1\r\n" + FIELDS, "") is None


def test_what_is_kept_is_bounded_and_forgotten():
    learned = known()
    heads = [b"GET /x HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % i for i in range(BLOCKS_MAX + 1)]
    for head in heads:
        learned.keep(head, read(head)[0].headers)
    assert learned.request_of(heads[-2], "") is not None
    assert learned.request_of(heads[-1], "") is None
    learned.forget()
    assert learned.request_of(heads[0], "") is None


def test_the_lines_that_are_kept_are_bounded():
    learned = taught(GET)
    for number in [*range(LINES_MAX + 1), LINES_MAX]:
        request = learned.request_of(b"GET /x?%d HTTP/1.1\r\n" % number + FIELDS, "")
        assert request.query == b"%d" % number
    assert len(learned._lines) == LINES_MAX


def test_nothing_of_a_query_outlives_the_sweep():
    learned = taught(GET)
    query = learned.request_of(b"GET /x?token=secret HTTP/1.1\r\n" + FIELDS, "").query
    nobody_else_s = bytes(bytearray(query))
    assert getrefcount(query) > getrefcount(nobody_else_s)
    learned.forget()
    assert getrefcount(query) == getrefcount(nobody_else_s)


async def test_a_door_forgets_at_each_sweep(native, connect, eventually, monkeypatch):
    forgotten = []
    monkeypatch.setattr(KnownFields, "forget", lambda _: forgotten.append(True))
    await native(lambda request: None)
    count = len(forgotten)
    await eventually(lambda: len(forgotten) > count)


async def echo(request):
    body = request.body
    if not isinstance(body, bytes):
        body = b"".join([piece async for piece in body])
    request.headers.clear()  # what one policy does must not reach the next request
    said = b"%b %b %b" % (request.method.encode(), request.path, body)
    return Response(200, Headers(), said)


@pytest.fixture
async def repeating(native, connect):
    """A client whose door has just seen GET, and a spy on what was taken as known."""
    server = await native(echo)
    client = await connect(server.port)
    await client.send(GET)
    assert (await client.answer()).body == b"GET /x "
    return server, client


async def test_requests_with_known_fields_are_answered_each_by_itself(repeating, connect):
    server, client = repeating
    for sent, said in (
        (GET, b"GET /x "),
        (GET.replace(b"/x", b"/%79?q=1"), b"GET /y "),
        (GET.replace(b"GET", b"POST"), b"POST /x "),
    ):
        await client.send(sent)
        assert (await client.answer()).body == said
        other = await connect(server.port)
        await other.send(sent)
        assert (await other.answer()).body == said


async def test_head_is_answered_without_a_body_though_get_was_seen(repeating):
    _, client = repeating
    await client.send(GET.replace(b"GET", b"HEAD") + GET)
    answers = [await client.answer(is_head=True), await client.answer()]
    assert [answer.body for answer in answers] == [b"", b"GET /x "]


async def test_what_follows_a_known_head_is_the_next_request(repeating):
    _, client = repeating
    await client.send(GET + GET + GET.replace(b"/x", b"/z"))
    assert [(await client.answer()).body for _ in range(3)] == [b"GET /x ", b"GET /x ", b"GET /z "]
    # A body nobody announced is a request that cannot be parsed.
    await client.send(GET + b"smuggled\r\n\r\n")
    assert [(await client.answer()).status for _ in range(2)] == [200, 400]


async def test_a_body_in_the_way_is_no_head_though_it_looks_like_one(repeating):
    _, client = repeating
    post = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET)
    await client.send(post, len(post))
    await client.send(GET, len(GET))
    assert (await client.answer()).body == b"POST /x " + GET
    await client.send(GET)
    assert (await client.answer()).body == b"GET /x "


async def test_a_known_head_in_pieces_is_read_as_usual(repeating):
    _, client = repeating
    for piece_bytes in (1, 7, len(GET) - 1):
        await client.send(GET, piece_bytes)
        assert (await client.answer()).body == b"GET /x "


async def test_a_known_head_behind_an_empty_line_or_a_part_is_read_as_usual(repeating):
    _, client = repeating
    await client.send(b"\r\n", 2)
    await client.send(GET, len(GET))
    assert (await client.answer()).body == b"GET /x "
    await client.send(b"GET /a HTTP/1.1\r\nX: ", 20)
    await client.send(GET, len(GET))
    answer = await client.answer()
    assert answer.status == 200
    assert re.match(rb"GET /a ", answer.body)


async def test_http_1_0_with_known_fields_still_ends_the_connection(repeating):
    _, client = repeating
    await client.send(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (await client.answer()).status == 200
    assert await client.rest() == b""


async def test_a_head_that_announces_a_body_is_never_taken_for_whole(repeating):
    _, client = repeating
    for announced, body in (
        (b"Content-Length: 5", b"hello"),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    ):
        head = b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % announced
        for _ in range(2):
            await client.send(head, len(head))
            await client.send(body, len(body))
            assert (await client.answer()).body == b"POST /x hello"


async def test_a_repeated_close_closes_each_time(repeating, connect):
    server, _ = repeating
    for _ in range(2):
        client = await connect(server.port)
        await client.send(GET.replace(b"Accept: */*", b"Connection: close"))
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
