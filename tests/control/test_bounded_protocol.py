"""What a client can make the admin port hold before it has shown a token: over a real socket, the
application behind uvicorn with the bounded protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import pytest

from tests.control.conftest import TOKEN, MakeApplication
from tests.control.served_protocol import (
    SERVED_WITHIN_S,
    Connect,
    Impatient,
    Stream,
    answer,
    ended,
    serving,
)
from tidegate.control import BoundedProtocol
from tidegate.control.bounded_protocol import HEAD_BYTES_MAX

SOCKETS_HOLD: Final = 16 * 1024 * 1024
"""More than two loopback sockets hold of what nobody reads."""
HEALTH: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
PUT: Final = (
    b"PUT /v1/plans/gold HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
)


@pytest.fixture
async def connect(make_application: MakeApplication) -> AsyncIterator[Connect]:
    async with serving(make_application(), BoundedProtocol) as connect:
        yield connect


@pytest.fixture
async def connect_impatient(make_application: MakeApplication) -> AsyncIterator[Connect]:
    async with serving(make_application(), Impatient) as connect:
        yield connect


async def sent_until_cut(stream: Stream, piece: bytes) -> int:
    """Send `piece` again and again until the server is gone, and return how much it took."""
    reader, writer = stream
    sent = 0
    try:
        while not reader.at_eof() and sent < SOCKETS_HOLD:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            sent += len(piece)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize(
    "start, piece",
    [
        (b"GET /health HTTP/1.1\r\n", b"X-Field: " + b"v" * 1000 + b"\r\n"),
        (b"GET /health HTTP/1.1\r\nX-Field: ", b"v" * 1000),
        (b"GET /", b"a" * 1000),
        (b"", b"\r\n" * 500),
        # Refused for want of a token at once: what follows is still parsed.
        (
            b"PUT /v1/plans/gold HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n",
            b"X-Trailer: " + b"v" * 1000 + b"\r\n",
        ),
        (PUT + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ", b"v" * 1000),
    ],
    ids=["fields", "one field", "target", "empty lines", "trailers", "one trailer"],
)
async def test_what_has_no_end_is_cut(connect: Connect, start: bytes, piece: bytes) -> None:
    stream = await connect()
    stream[1].write(start)
    assert await sent_until_cut(stream, piece) < SOCKETS_HOLD
    other = await connect()
    other[1].write(HEALTH)
    assert await answer(other[0]) == 200


async def test_a_head_over_the_bound_is_told_so_and_one_within_it_served(connect: Connect) -> None:
    reader, writer = await connect()
    field = b"X-Field: " + b"v" * (HEAD_BYTES_MAX - 200) + b"\r\n"
    for _ in range(2):  # each request begins anew
        writer.write(HEALTH[:-2] + field + b"\r\n")
        assert await answer(reader) == 200
    writer.write(HEALTH[:-2] + field)
    writer.write(b"X-More: " + b"v" * 4200)
    assert (await ended(reader)).startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_stalls_is_closed_on_a_kept_connection_too(
    connect_impatient: Connect,
) -> None:
    for before in (b"", HEALTH):
        reader, writer = await connect_impatient()
        if before:
            writer.write(before)
            assert await answer(reader) == 200
        writer.write(b"GET /health HTTP/1.1\r\nHost: ")
        assert await ended(reader) == b""


async def test_fields_that_trickle_do_not_buy_time(connect_impatient: Connect) -> None:
    reader, writer = await connect_impatient()
    writer.write(b"GET /health HTTP/1.1\r\n")
    closed = asyncio.create_task(ended(reader))
    async with asyncio.timeout(SERVED_WITHIN_S):
        while not closed.done():
            writer.write(b"X-Field: v\r\n")
            await asyncio.sleep(0.02)
    assert await closed == b""


async def test_a_connection_that_says_nothing_is_closed(connect_impatient: Connect) -> None:
    reader, _ = await connect_impatient()
    assert await ended(reader) == b""


async def test_the_rest_of_a_body_that_was_refused_holds_no_connection(
    connect_impatient: Connect,
) -> None:
    reader, writer = await connect_impatient()
    writer.write(b"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
    assert await answer(reader) == 401
    writer.write(b"{")
    assert await ended(reader) == b""


async def test_an_answer_may_take_longer_than_a_head_and_pipelined_ones_wait_for_it() -> None:
    release = asyncio.Event()

    async def slow(
        scope: dict[str, str], receive: object, send: Callable[..., Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        await release.wait()
        length = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b""})

    async with serving(slow, Impatient) as connect:
        reader, writer = await connect()
        writer.write(HEALTH + HEALTH + HEALTH[:20])
        await asyncio.sleep(3 * Impatient.head_wait_s)  # the time is what is tested
        release.set()
        assert [await answer(reader), await answer(reader)] == [200, 200]
        assert await ended(reader) == b""  # the third never came whole


async def test_kept_and_pipelined_requests_are_answered_however_many(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(HEALTH * 1000)  # more bytes than one head may have
    assert {await answer(reader) for _ in range(1000)} == {200}


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_larger_than_a_head_is_none(connect: Connect, is_chunked: bool) -> None:
    body = b'{"limits": [{"name": "steady", "rate": "5/s"}]}'.ljust(60_000)
    reader, writer = await connect()
    for status in (201, 200):
        if is_chunked:
            writer.write(PUT + b"Transfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        else:
            writer.write(PUT + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        assert await answer(reader) == status


async def test_connections_are_bounded_and_free_again_when_they_end(
    connect_impatient: Connect,
) -> None:
    held = [await connect_impatient() for _ in range(Impatient.connections_max)]
    for reader, writer in held:
        writer.write(HEALTH)
        assert await answer(reader) == 200
    reader, _ = await connect_impatient()
    assert await ended(reader) == b""
    held[0][1].close()
    await held[0][1].wait_closed()
    async with asyncio.timeout(SERVED_WITHIN_S):
        while True:
            reader, writer = await connect_impatient()
            writer.write(HEALTH)
            try:
                assert await answer(reader) == 200
                break
            except (asyncio.IncompleteReadError, ConnectionError):
                continue  # the server has not seen the end of the other one yet
