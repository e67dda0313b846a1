"""Whatever a client sends, in whatever pieces: no crash, and never more answers than requests."""

import asyncio
import logging
import re
from contextlib import suppress
from itertools import pairwise

import httptools
import uvloop
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.edge.conftest import Client, Handler, native_door
from tests.edge.wire_cases import CASES
from tidegate.http import Response

MESSAGES = [case.sent for case in CASES if len(case.sent) < 1024]
TOKENS = [b"\r\n", b"\n", b"\r\n\r\n", b" ", b":", b"0", b"\0", b"chunked", b"GET / HTTP/1.1\r\n"]
FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def mutated(draw) -> bytes:
    """A few messages of the table, with bytes flipped, dropped, doubled or put in."""
    octets = bytearray(b"".join(draw(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, len(octets)))
        match draw(st.integers(0, 3)):
            case 0 if position < len(octets):
                octets[position] = draw(st.integers(0, 255))
            case 1:
                del octets[position : position + draw(st.integers(1, 8))]
            case 2:
                octets[position:position] = octets[position : position + 20]
            case _:
                octets[position:position] = draw(st.sampled_from(TOKENS))
    return bytes(octets)


async def exchanged(octets: bytes, cuts: list[int]) -> tuple[bytes, int]:
    """Return what a door answered, and how many requests it handled to their end."""
    handled = 0

    async def handle(request):
        nonlocal handled
        body = request.body
        if not isinstance(body, bytes):
            async for _ in body:
                pass
        handled += 1
        return Response(200)

    async with native_door(Handler(handle, {"body_bytes": 4096})) as server:
        client = await Client.connect(server.port)
        edges = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
        for start, stop in pairwise(edges):
            await client.send(octets[start:stop], stop - start)
        with suppress(OSError, RuntimeError):  # it may be closed by now
            client.writer.write_eof()
        received = await client.rest()
        client.close()
    return received, handled


@FUZZ
@given(octets=mutated(), cuts=st.lists(st.integers(0, 2000), max_size=6))
def test_no_input_crashes_a_connection(caplog, octets, cuts):
    caplog.clear()
    with caplog.at_level(logging.INFO), asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        received, handled = run.run(exchanged(octets, cuts))
    failures = [record for record in caplog.records if record.exc_info]
    assert not failures, failures
    # One for each request that was handled, and one more where the next was refused.
    assert len(_statuses(received)) <= handled + 1


@FUZZ
@given(message=st.sampled_from(MESSAGES), cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(message, cuts):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        whole, handled_whole = run.run(exchanged(message, []))
        pieces, handled_pieces = run.run(exchanged(message, cuts))
    assert handled_whole == handled_pieces
    assert _statuses(whole) == _statuses(pieces)


def _statuses(received: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", received)


class FieldsOfTheParser:
    """What llhttp itself reports of one head."""

    def __init__(self) -> None:
        self.own_fields: list[tuple[bytes, bytes]] = []
        self.is_head_read = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.own_fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_head_read = True


@settings(FUZZ, max_examples=150)
@given(octets=mutated())
def test_fields_split_off_a_head_are_the_parser_s_own(octets):
    head, end, _ = octets.partition(b"\r\n\r\n")
    seen = FieldsOfTheParser()
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(seen).feed_data(head + end)
    assume(end and seen.is_head_read and head[:1] not in (b"\r", b"\n"))
    line = head.split(b"\r\n")[0]
    # A line that ends in LF, which llhttp takes where the version is missing, is refused as such.
    assume(line.endswith((b" HTTP/1.1", b" HTTP/1.0")) and b"\n" not in line)
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    assert [(name, value.strip(b" \t")) for name, _, value in pairs] == seen.own_fields
