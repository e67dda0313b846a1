"""CPU of one EVALSHA in the gateway's process: our connection, redis-py's pool and its pipelines.

`python bench/store_round_trip.py [--rounds 5]`. An embedded Valkey of its own; the client on core
0, the server on core 1 where there are two; interleaved rounds, medians. 32 coroutines ask one
after the other, as requests in flight do. `floor` is the least that could do it: no deadline, no
bound, no reconnecting, no error replies.
"""

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import hiredis
import redis.asyncio
import uvloop

from tidegate.config.schema import Redis
from tidegate.store import Script, Store, open_store

COMMANDS = 30_000
CLIENTS = 32
BUCKET = Script.of(
    "bench bucket",
    """
local t = redis.call('TIME'); local now = t[1] * 1000000 + t[2]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
redis.call('SET', KEYS[1], string.format('%d', full_at + 1), 'PX', 1000)
return {1, ARGV[1] - (full_at - now), full_at}
""",
)
KEY = b"tg:limits:{bench}"
ARGUMENTS = (1_000_000, 1_000_000, 1)
Ask = Callable[[], Awaitable[Any]]


class Floor(asyncio.Protocol):
    def __init__(self) -> None:
        self.reader = hiredis.Reader()
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.unsent: list[bytes] = []
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            self.waiting.popleft().set_result(reply)

    def ask(self) -> asyncio.Future[Any]:
        waiter = self.loop.create_future()
        if not self.unsent:
            self.loop.call_soon(self.flush)
        self.waiting.append(waiter)
        command: Any = (b"EVALSHA", BUCKET.sha, 1, KEY, *ARGUMENTS)  # hiredis types one item
        self.unsent.append(hiredis.pack_command(command))
        return waiter

    def flush(self) -> None:
        commands = b"".join(self.unsent)
        self.unsent.clear()
        self.transport.write(commands)


def batched(client: "redis.asyncio.Redis") -> Ask:
    """redis-py, with all that is asked in one tick in one pipeline."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[Any]] = []
    tasks: set[asyncio.Task[None]] = set()

    async def flush() -> None:
        while waiting:
            batch, waiting[:] = waiting[:], []
            pipeline = client.pipeline(transaction=False)
            for _ in batch:
                pipeline.evalsha(BUCKET.sha.decode(), 1, KEY, *ARGUMENTS)
            for waiter, reply in zip(batch, await pipeline.execute(), strict=True):
                waiter.set_result(reply)
        tasks.clear()

    def ask() -> asyncio.Future[Any]:
        waiter = loop.create_future()
        waiting.append(waiter)
        if not tasks:
            tasks.add(loop.create_task(flush()))
        return waiter

    return ask


async def cpu_us(ask: Ask) -> tuple[float, float]:
    """Return CPU µs of this process for each command, and commands a second."""

    async def client(count: int) -> None:
        for _ in range(count):
            await ask()

    await client(200)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*[client(COMMANDS // CLIENTS) for _ in range(CLIENTS)])
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1e6 / COMMANDS, COMMANDS / elapsed


def separate_cores(directory: Path) -> None:
    if sys.platform == "linux" and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(int((directory / "server.lock").read_text()), {1})
        os.sched_setaffinity(0, {0})


async def contenders(store: Store) -> dict[str, Ask]:
    path = store.connection.address.socket_path
    client = redis.asyncio.Redis(unix_socket_path=path)
    sha = await client.script_load(BUCKET.source)
    _, floor = await asyncio.get_running_loop().create_unix_connection(Floor, path)
    return {
        "tidegate": lambda: store.run(BUCKET, (KEY,), ARGUMENTS),
        "floor": floor.ask,
        "redis-py": lambda: client.evalsha(sha, 1, KEY, *ARGUMENTS),
        "redis-py pipelines": batched(client),
    }


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tg-bench-", dir="/tmp") as directory:
        store = await open_store(Redis(timeout=5.0), Path(directory))
        separate_cores(Path(directory))
        asks = await contenders(store)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in asks}
        for _ in range(rounds):
            for name, ask in asks.items():
                found[name].append(await cpu_us(ask))
        print(f"{'':20} {'CPU µs':>8} {'ops/s':>9}")
        for name, figures in found.items():
            cpu, rate = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{name:20} {cpu:8.1f} {rate:9.0f}")
        await store.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    uvloop.run(main(parser.parse_args().rounds))
