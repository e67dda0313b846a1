"""CPU of one small GET in the gateway's process: our client, a bare parser, aiohttp, httpx2.

`python bench/upstream_round_trip.py [--rounds 5]`. A minimal upstream in a process of its own; the
client on core 0, the upstream on core 1 where there are two; interleaved rounds, medians. 32
coroutines ask one after the other, as requests in flight do. `floor` is the least that could do
it: a parser, a stack of connections, no bound, no deadline, no check of anything.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import aiohttp
import httptools
import httpx2
import uvloop

from tidegate.config.schema import Route, Service
from tidegate.http import Headers, Request
from tidegate.upstream import Upstream

REQUESTS = {"tidegate": 16_000, "floor": 16_000, "aiohttp": 6_400, "httpx2": 1_600}
CLIENTS = 32
BODY = b'{"id":1,"name":"widget","price":9.99,"description":"' + b"x" * 150 + b'"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Tue, 24 Nov 2026 15:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%b"
) % (len(BODY), BODY)
FIELDS = [
    (b"accept", b"*/*"),
    (b"user-agent", b"bench/1"),
    (b"via", b"1.1 tidegate"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"x-forwarded-proto", b"http"),
]
Ask = Callable[[], Awaitable[Any]]


class Answering(asyncio.Protocol):
    """The upstream: every request is one read without a body."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, received: bytes) -> None:
        self.transport.write(ANSWER)


class Floor(asyncio.Protocol):
    def __init__(self, idle: "list[Floor]") -> None:
        self.idle = idle

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, received: bytes) -> None:
        self.parser.feed_data(received)

    def on_message_begin(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.idle.append(self)
        answer = self.parser.get_status_code(), self.fields, b"".join(self.pieces)
        self.reply.set_result(answer)

    def send(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        parts = [b"GET ", b"/api/x", b" HTTP/1.1\r\nhost: bench\r\n"]
        for name, value in FIELDS:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n")
        self.reply: asyncio.Future[Any] = loop.create_future()
        self.transport.write(b"".join(parts))
        return self.reply


def floor(port: int) -> Ask:
    loop = asyncio.get_running_loop()
    idle: list[Floor] = []

    async def ask() -> Any:
        if idle:
            return await idle.pop().send(loop)
        _, connection = await loop.create_connection(lambda: Floor(idle), "127.0.0.1", port)
        return await connection.send(loop)

    return ask


def ours(upstream: Upstream) -> Ask:
    async def ask() -> Any:
        return await upstream.send(Request("GET", b"/api/x", Headers(FIELDS), host=b"bench"))

    return ask


def of_aiohttp(session: aiohttp.ClientSession, url: str) -> Ask:
    fields = {name.decode(): value.decode() for name, value in FIELDS}

    async def ask() -> Any:
        async with session.get(url, headers=fields) as response:
            return response.status, response.raw_headers, await response.read()

    return ask


def of_httpx2(client: httpx2.AsyncClient, url: str) -> Ask:
    fields = {name.decode(): value.decode() for name, value in FIELDS}

    async def ask() -> Any:
        response = await client.get(url, headers=fields)
        return response.status_code, response.headers.raw, response.content

    return ask


async def cpu_us(ask: Ask, requests: int) -> tuple[float, float]:
    """Return CPU µs of this process for each request, and requests a second."""

    async def client(count: int) -> None:
        for _ in range(count):
            await ask()

    await asyncio.gather(*[client(3) for _ in range(CLIENTS)])
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*[client(requests // CLIENTS) for _ in range(CLIENTS)])
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1e6 / requests, requests / elapsed


async def main(rounds: int, port: int) -> None:
    url = f"http://127.0.0.1:{port}/api/x"
    service = Service(
        name="bench", targets=(f"http://127.0.0.1:{port}",), routes=(Route(name="bench"),)
    )
    async with AsyncExitStack() as opened:
        upstream = Upstream(service)
        opened.push_async_callback(upstream.aclose)
        session = await opened.enter_async_context(aiohttp.ClientSession())
        client = await opened.enter_async_context(httpx2.AsyncClient())
        asks = {
            "tidegate": ours(upstream),
            "floor": floor(port),
            "aiohttp": of_aiohttp(session, url),
            "httpx2": of_httpx2(client, url),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in asks}
        for _ in range(rounds):
            for name, ask in asks.items():
                found[name].append(await cpu_us(ask, REQUESTS[name]))
    report(found)


def report(found: dict[str, list[tuple[float, float]]]) -> None:
    medians = {
        name: tuple(statistics.median(column) for column in zip(*figures, strict=True))
        for name, figures in found.items()
    }
    own = medians["tidegate"][0]
    print(f"{'':10} {'CPU µs':>8} {'requests/s':>11} {'of ours':>8}")
    for name, (cpu, rate) in medians.items():
        print(f"{name:10} {cpu:8.1f} {rate:11.0f} {cpu / own:8.2f}")


async def answer() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def upstream_process() -> Iterator[int]:
    """Run the upstream on the other core; give its port."""
    command = [sys.executable, __file__, "--answer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if sys.platform == "linux" and (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(process.pid, {1})
                os.sched_setaffinity(0, {0})
            yield int(process.stdout.readline()) if process.stdout else 0
        finally:
            process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        uvloop.run(answer())
    else:
        with upstream_process() as port:
            uvloop.run(main(options.rounds, port))
