"""Connections of the native door: how many, how they end, and how the door drains."""

import asyncio
import select
import socket

import pytest
import uvloop

from tidegate.edge.native import NativeServer, sweep
from tidegate.http import Response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_10 = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"


async def hello(request):
    return Response(200, body=b"hello")


class Held:
    """A handler that waits for `may_end` and knows how it ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request) -> Response:
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Response(200, body=b"hello")


async def wait_for(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 5)


async def test_a_connection_over_the_bound_is_told_so(native, connect, eventually):
    server = await native(hello, connections=2)
    clients = [await connect(server.port) for _ in range(2)]
    await eventually(lambda: server.connections == 2)
    refused = await connect(server.port)
    answer = await refused.answer()
    assert answer.status == 503
    assert answer.get_all(b"retry-after") == [b"1"]
    assert answer.get_all(b"connection") == [b"close"]
    refused.close()
    await clients[0].send(GET)
    assert (await clients[0].answer()).status == 200
    clients[0].close()
    await eventually(lambda: server.connections == 1)
    again = await connect(server.port)
    await again.send(GET)
    assert (await again.answer()).status == 200


async def test_connections_of_one_address_are_counted_by_themselves(native, connect, eventually):
    server = await native(hello, connections_per_address=1)
    first = await connect(server.port)
    await eventually(lambda: server.connections == 1)
    assert (await (await connect(server.port)).answer()).status == 503
    other = socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0))
    other.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(other, GET)
    assert (await loop.sock_recv(other, 4096)).startswith(b"HTTP/1.1 200")
    other.close()
    first.close()


async def test_a_client_with_no_more_to_send_gets_its_answers(native, connect):
    held = Held()
    client = await connect((await native(held)).port)
    await client.send(GET + GET)
    client.writer.write_eof()
    await wait_for(held.began)
    held.may_end.set()
    for _ in range(2):
        answer = await client.answer()
        assert (answer.status, answer.interim) == (200, [])
    assert await client.rest() == b""


@pytest.mark.parametrize(("ask", "interim"), [(GET, [100]), (GET_10, [])])
async def test_a_half_closed_client_may_wait_long(native, connect, eventually, ask, interim):
    held = Held()
    server = await native(held, body_timeout=0.1)
    client = await connect(server.port)
    await client.send(ask)
    client.writer.write_eof()
    await wait_for(held.began)
    (connection,) = server._door.connections
    clock = server._door.clock
    await eventually(lambda: server._door.clock > clock + 0.2)
    assert not held.cancelled.is_set()
    held.may_end.set()
    answer = await client.answer()
    assert (answer.status, answer.interim) == (200, interim)
    assert connection.is_probed is bool(interim)


async def test_a_client_that_closed_is_found_out_and_its_request_cancelled(native):
    held = Held()
    server = await native(held, body_timeout=0.1)
    # A plain close: FIN, nothing unread. From here it looks like the half-close above.
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(GET)
    await wait_for(held.began)
    client.close()
    await wait_for(held.cancelled)


async def test_a_client_that_resets_cancels_its_request(native, connect, eventually):
    held = Held()
    server = await native(held)
    client = await connect(server.port)
    await client.send(GET)
    await wait_for(held.began)
    client.reset()
    await wait_for(held.cancelled)
    await eventually(lambda: server.connections == 0)


async def test_an_end_inside_a_head_is_no_request(native, connect):
    held = Held()
    client = await connect((await native(held)).port)
    await client.send(GET[:-2])
    client.writer.write_eof()
    assert await client.rest() == b""
    assert not held.began.is_set()


async def test_draining_closes_idle_connections_at_once(native, connect, eventually, monkeypatch):
    monkeypatch.setattr(sweep, "QUIET_BEFORE_DRAIN_S", 0.0)
    server = await native(hello, header_timeout=0.1)
    client = await connect(server.port)
    await client.send(GET)
    await client.answer()
    clock = server._door.clock
    await eventually(lambda: server._door.clock > clock)
    await server.drain(5)
    assert await client.rest() == b""
    assert not client.reader.was_reset


async def test_draining_lets_busy_connections_answer_and_says_close(native, connect, eventually):
    held = Held()
    server = await native(held)
    port = server.port
    client = await connect(port)
    await client.send(GET + GET)
    await wait_for(held.began)
    draining = asyncio.create_task(server.drain(5))
    await eventually(lambda: server._door.is_draining)
    held.may_end.set()
    assert (await client.answer()).get_all(b"connection") == []
    assert (await client.answer()).get_all(b"connection") == [b"close"]
    assert await client.rest() == b""
    await draining
    with pytest.raises(ConnectionRefusedError):
        await connect(port)


async def test_a_request_that_comes_while_draining_is_answered(native, connect, eventually):
    server = await native(hello)
    client = await connect(server.port)
    await client.send(GET)
    await client.answer()
    draining = asyncio.create_task(server.drain(5))
    await eventually(lambda: server._door.is_draining)
    await client.send(GET)
    answer = await client.answer()
    assert (answer.status, answer.get_all(b"connection")) == (200, [b"close"])
    await draining


@pytest.mark.parametrize("turns", range(6))
def test_no_connection_is_lost_between_its_acceptance_and_the_drain(turns, handler):
    """Whatever turn of the loop the drain falls in: answered, or left in the queue of the socket,
    which outlives the worker. On the worker's own loop; asyncio's drops what it is accepting."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        async def later(request) -> Response:
            await asyncio.sleep(0.01)
            return Response(200)

        async def serve() -> socket.socket:
            server = NativeServer(handler(later, {}))
            await server.start(listening.dup())
            client = socket.create_connection(listening.getsockname())
            client.send(GET)
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.drain(5)
            return client

        with uvloop.run(serve()) as client:
            client.settimeout(5)
            if select.select([listening], [], [], 0)[0]:
                accepted, _ = listening.accept()
                accepted.send(b"HTTP/1.1 200 by the next worker")
                accepted.close()
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


async def test_draining_cuts_what_does_not_end(native, connect):
    held = Held()
    server = await native(held)
    client = await connect(server.port)
    await client.send(GET)
    await wait_for(held.began)
    await server.drain(0.1)
    await wait_for(held.cancelled)
    assert await client.rest() == b""
    assert client.reader.was_reset
    assert server.connections == 0


async def test_a_connection_may_be_cut_while_it_is_not_read(native, connect, eventually, door_log):
    held = Held()
    server = await native(held)
    client = await connect(server.port)
    size = 16 * 2**20
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    sending = asyncio.create_task(client.send(post + b"b" * size))
    await eventually(lambda: server.connections)
    (connection,) = server._door.connections
    await eventually(lambda: connection.is_read_paused)
    await server.drain(0)
    await wait_for(held.cancelled)
    await sending
    assert [record.levelname for record in door_log.records] == ["WARNING"]
