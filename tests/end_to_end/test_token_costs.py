"""Tokens a minute through both doors, over sockets: reserved, then settled by the answer."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.edge.conftest import Answer, Client, bound_socket, uvicorn_with
from tidegate.config import Config
from tidegate.edge import AsgiDoor, NativeServer
from tidegate.testing import ScriptedUpstream
from tidegate.testing.scripted_upstream import Act

BURST = 1000
RESERVE = 400
JSON = {"content-type": "application/json"}
USED = json.dumps({"choices": [], "usage": {"prompt_tokens": 9, "total_tokens": 30}}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = HEAD % b"text/event-stream"
LAST = b"0\r\n\r\n"
ASK = b"POST /v1/chat HTTP/1.1\r\nhost: t\r\nx-api-key: sk-demo\r\naccept-encoding: gzip, br\r\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def event(total: int | None) -> bytes:
    usage = None if total is None else {"total_tokens": total}
    return b"data: %b\n\n" % json.dumps({"choices": [], "usage": usage}).encode()


STREAM = [event(None), event(None), event(30), b"data: [DONE]\n\n"]


@asynccontextmanager
async def native_door(gateway: Any) -> AsyncIterator[int]:
    server, listener = NativeServer(gateway), bound_socket()
    await server.start(listener)
    try:
        yield listener.getsockname()[1]
    finally:
        await server.drain(1)


class Gate:
    """A gateway behind one of the doors, its upstream, and a client."""

    def __init__(self, kit: Any, upstream: ScriptedUpstream, port: int) -> None:
        self.kit = kit
        self.upstream = upstream
        self.port = port

    async def asked(self, *script: Any) -> Client:
        self.upstream.script = script
        client = await Client.connect(self.port)
        await client.send(ASK + b"content-length: 0\r\n\r\n")
        return client

    async def answer(self, *script: Any) -> Answer:
        client = await self.asked(*script)
        try:
            return await client.answer()
        finally:
            client.close()

    async def left(self) -> int:
        """How many tokens there are, as a call that is refused by its service is told."""
        answer = await self.answer((503, {}, b""))
        assert answer.status in (503, 429), answer
        left = re.search(rb'"tokens";r=(\d+)', answer.get_all(b"ratelimit")[0])
        assert left is not None
        return int(left[1]) + (RESERVE if answer.status == 503 else 0)

    async def has_left(self, expected: int) -> None:
        async with asyncio.timeout(5):
            while await self.left() != expected:  # noqa: ASYNC110 a store sets no event
                await asyncio.sleep(0.01)


@pytest.fixture(params=["native", "asgi"])
async def gate(request, tidegate_kit) -> AsyncIterator[Any]:
    """`await gate(**costs)`: one that reserves tokens on its route."""
    async with AsyncExitStack() as opened:
        upstream = await opened.enter_async_context(ScriptedUpstream())

        async def gate_of(timeouts: Mapping[str, Any] = {}, **tokens: Any) -> Gate:
            costs = {"reserve": RESERVE, "settle": {"json": "usage.total_tokens"}} | tokens
            limit = {"name": "tokens", "rate": "1/day", "burst": BURST, "unit": "tokens"}
            route = {"name": "chat", "paths": ["/v1"], "costs": {"tokens": costs}}
            config = {
                "version": 1,
                "plans": {"team": {"limits": [limit]}},
                "tenants": [
                    {"name": "a", "plan": "team", "keys": [{"name": "k", "value": "sk-demo"}]}
                ],
                "services": [
                    {
                        "name": "llm",
                        "targets": [upstream.url],
                        "timeouts": timeouts,
                        "routes": [route],
                    }
                ],
            }
            kit = await tidegate_kit(config=Config.model_validate(config))
            door = (
                native_door(kit.gateway)
                if request.param == "native"
                else uvicorn_with(AsgiDoor(kit.gateway), "httptools")
            )
            return Gate(kit, upstream, await opened.enter_async_context(door))

        yield gate_of


async def test_a_call_is_charged_what_its_answer_says_it_used(gate):
    door = await gate()
    answer = await door.answer((200, JSON, USED))
    assert (answer.status, answer.body) == (200, USED)
    assert answer.get_all(b"x-ratelimit-remaining") == [b"%d" % (BURST - RESERVE)]
    assert await door.left() == BURST - 30
    assert door.upstream.requests[0].get_all(b"accept-encoding") == [b"identity"]


async def test_json_in_chunks_that_cut_it_anywhere_says_the_same(gate):
    door = await gate()
    pieces = [chunk(USED[position : position + 1]) for position in range(len(USED))]
    answer = await door.answer([HEAD % b"application/json", *pieces, LAST])
    assert answer.body == USED
    assert await door.left() == BURST - 30


async def test_events_reach_the_client_one_by_one_and_the_last_one_settles(gate):
    """Pain point 21: streams that are buffered or cut."""
    door = await gate()
    gates = [asyncio.Event() for _ in STREAM]
    steps = [
        step for waited, piece in zip(gates, STREAM, strict=True) for step in (chunk(piece), waited)
    ]
    client = await door.asked([EVENTS, *steps, LAST])
    async with asyncio.timeout(5):
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        for waited, piece in zip(gates, STREAM, strict=True):
            size = int(await client.reader.readline(), 16)
            # The service says nothing more until this has arrived here.
            assert (await client.reader.readexactly(size + 2))[:-2] == piece
            waited.set()
        assert await client.reader.readexactly(5) == LAST
    client.close()
    await door.has_left(BURST - 30)


async def test_a_stream_that_the_client_cuts_settles_what_was_seen(gate):
    door = await gate()
    never = asyncio.Event()
    client = await door.asked([EVENTS, chunk(event(7)), never])
    await client.reader.readuntil(b"}\n\n")
    client.reset()
    await door.has_left(BURST - 7)


async def test_a_stream_that_the_service_cuts_settles_what_was_seen(gate):
    door = await gate()
    client = await door.asked([EVENTS, chunk(event(7)), Act.RESET])
    assert event(7) in await client.rest()
    client.close()
    await door.has_left(BURST - 7)


async def test_a_stream_that_is_cut_before_it_says_anything_is_charged_the_reservation(gate):
    door = await gate()
    client = await door.asked([EVENTS, chunk(event(None)), Act.RESET])
    await client.rest()
    client.close()
    await door.has_left(BURST - RESERVE)


async def test_a_client_that_leaves_before_the_answer_is_charged_the_reservation(gate):
    door = await gate()
    client = await door.asked([asyncio.Event()])
    async with asyncio.timeout(5):
        while not door.upstream.requests:  # noqa: ASYNC110 it sets no event
            await asyncio.sleep(0.01)
    client.reset()
    await asyncio.sleep(0.05)
    await door.has_left(BURST - RESERVE)


@pytest.mark.parametrize(("act", "status"), [(Act.STALL, 504), (Act.CLOSE, 502)])
async def test_a_call_that_was_sent_on_and_not_answered_is_charged_the_reservation(
    gate, act, status
):
    """The service may have worked for it, and who asks for too much must not have it for free."""
    door = await gate(timeouts={"first_byte": "200ms"})
    assert (await door.answer([act])).status == status
    assert await door.left() == BURST - RESERVE


async def test_an_answer_that_is_compressed_all_the_same_is_charged_the_reservation(gate):
    door = await gate()
    body = gzip.compress(USED)
    answer = await door.answer((200, JSON | {"content-encoding": "gzip"}, body))
    assert answer.body == body
    assert await door.left() == BURST - RESERVE


async def test_what_no_service_answers_is_given_back(gate):
    door = await gate()
    port = door.upstream.port
    await door.upstream.aclose()
    answer = await door.answer((200, JSON, USED))
    assert answer.status in (502, 503)
    door.upstream.port = port
    await door.upstream.start()
    assert await door.left() == BURST


async def test_an_estimate_beyond_the_limit_refuses_no_call_that_finds_it_full(gate):
    door = await gate(reserve=50 * BURST)
    answer = await door.answer((200, JSON, USED))
    assert (answer.status, answer.get_all(b"x-ratelimit-remaining")) == (200, [b"0"])
    answer = await door.answer((200, JSON, USED))
    assert answer.status == 429
    assert json.loads(answer.body)["violated-policies"] == ["tokens"]


async def test_a_call_that_used_more_than_is_there_makes_the_next_ones_wait(gate):
    door = await gate()
    more = USED.replace(b"30", b"%d" % (BURST + 50))
    assert (await door.answer((200, JSON, more))).status == 200
    answer = await door.answer((200, JSON, USED))
    assert answer.status == 429
    assert len(door.upstream.requests) == 1
    # 50 are owed and 400 are to be reserved, of which one flows in each day.
    wait_days = int(answer.get_all(b"retry-after")[0]) / 86400
    assert 449 <= wait_days <= 450


async def test_a_refused_call_reserves_nothing(gate):
    door = await gate()
    silent = (200, JSON, b"{}")
    statuses = [(await door.answer(silent)).status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert await door.left() == BURST - 2 * RESERVE
