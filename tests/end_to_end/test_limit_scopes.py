"""Limits of every scope over two workers, from the file to the wire: never one too many.

Pain points 1 and 3: bursts that bypass limits, and limits that multiply by the worker.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

CONFIG = """\
version: 1
listen: {host: 127.0.0.1, port: 0, trusted_proxies: [127.0.0.0/8]}
limits:
  - {name: all, rate: 1/h, burst: 70, per: global}
plans:
  pro:
    limits:
      - {name: all, rate: null}
    routes:
      keyed: {limits: [{name: plan-on-route, rate: 1/h, burst: 30}]}
      tenants: {limits: [{name: shared, rate: 1/h, burst: 40, per: tenant}]}
      users: {limits: [{name: user, rate: 1/h, burst: 20, per: "header:X-User"}]}
      counted: {limits: [{name: parallel, concurrency: 5, lease: 1s}]}
      windowed: {limits: [{name: route, rate: 1/h, burst: 60, per: route}]}
tenants:
  - {name: acme, plan: pro, keys: [{name: a, value: key_a}, {name: b, value: key_b}]}
  - {name: other, plan: pro, keys: [{name: c, value: key_c}]}
services:
  - name: test
    targets: ["${UPSTREAM}"]
    routes:
      - {name: keyed, paths: [/keyed]}
      - {name: tenants, paths: [/tenants]}
      - {name: users, paths: [/users]}
      - {name: counted, paths: [/counted]}
      - {name: windowed, paths: [/windowed]}
      - {name: addresses, paths: [/addresses], auth: none,
         limits: [{name: address, rate: 1/h, burst: 25, per: address}, {name: all, rate: null}]}
      - {name: everybody, paths: [/everybody], auth: none}
"""
ASKED_TIMES = 100
CLIENTS = 10


@dataclass
class Slow:
    """An upstream that tells how many requests it had at a time at most."""

    port: int = 0
    running: int = 0
    most: int = 0
    takes_s: float = 0.01

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while b"\r\n\r\n" in await reader.readuntil(b"\r\n\r\n"):
                self.running += 1
                self.most = max(self.most, self.running)
                try:
                    await asyncio.sleep(self.takes_s)
                finally:
                    self.running -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    upstream = Slow()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    yield upstream
    server.close()


async def asked(gateway: Any, path: str, *headers: str) -> Counter[int]:
    """Ask ASKED_TIMES with each of `headers` at once, over connections to both workers."""
    answers: Counter[int] = Counter()

    async def client(lines: str) -> None:
        for _ in range(ASKED_TIMES // CLIENTS):
            answers[(await gateway.get(path, lines)).status] += 1

    await asyncio.gather(*(client(lines) for lines in headers for _ in range(CLIENTS)))
    return answers


def key(name: str) -> str:
    return f"X-API-Key: {name}\r\n"


def clients(*addresses: str) -> list[str]:
    """Fields of clients behind the trusted proxy that the tests are."""
    return [f"X-Forwarded-For: {address}\r\n" for address in addresses]


USER = "X-User: ada\r\n"
SCOPES: dict[str, tuple[str, list[str], int]] = {
    "key": ("/keyed", [key("key_a"), key("key_b")], 60),
    "tenant": ("/tenants", [key("key_a"), key("key_b")], 40),
    "route": ("/windowed", [key("key_a"), key("key_c")], 60),
    "header": ("/users", [key(name) + USER for name in ("key_a", "key_b", "key_c")], 40),
    "address": ("/addresses", clients("192.0.2.1", "2001:db8::1", "2001:db8::2"), 50),
    "global": ("/everybody", clients("192.0.2.1", "192.0.2.2"), 70),
}
"""By what is counted: path, whose requests, and how many of them all are admitted."""


async def test_two_workers_admit_what_the_limit_allows_and_no_more(
    running_gateway: Any, store_url: Any
):
    gateway = running_gateway(workers=2, config=CONFIG, redis=store_url)
    for name, (path, headers, admitted) in SCOPES.items():
        answers = await asked(gateway, path, *headers)
        assert answers == {200: admitted, 429: ASKED_TIMES * len(headers) - admitted}, name


async def test_two_workers_run_no_more_at_a_time_than_the_limit_allows(
    running_gateway: Any, store_url: Any, slow: Slow
):
    gateway = running_gateway(
        workers=2, config=CONFIG, redis=store_url, UPSTREAM=f"http://127.0.0.1:{slow.port}"
    )
    answers = await asked(gateway, "/counted", key("key_a"))
    assert slow.most == 5
    assert answers[200] > 5
    assert answers[200] + answers[429] == ASKED_TIMES
    slow.takes_s = 0.0
    assert [(await gateway.get("/counted", key("key_a"))).status for _ in range(20)] == [200] * 20


async def test_clients_that_leave_at_any_moment_keep_no_place(
    running_gateway: Any, slow: Slow, eventually: Any
):
    """Pain point 4, under load: an hour's lease would hide nothing that is not given back."""
    slow.takes_s = 0.02
    gateway = running_gateway(
        workers=2,
        config=CONFIG.replace("lease: 1s", "lease: 1h"),
        UPSTREAM=f"http://127.0.0.1:{slow.port}",
    )
    request = f"GET /counted HTTP/1.1\r\nHost: a\r\n{key('key_a')}\r\n".encode()
    moments = random.Random(5)

    async def leave() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request)
        await asyncio.sleep(moments.uniform(0, 0.04))
        writer.transport.abort()

    for _ in range(40):
        await asyncio.gather(*(leave() for _ in range(10)))
    await eventually(lambda: slow.running == 0)
    slow.takes_s = 0.5
    async with asyncio.timeout(10):
        while True:
            asking = [gateway.get("/counted", key("key_a")) for _ in range(5)]
            if [answer.status for answer in await asyncio.gather(*asking)] == [200] * 5:
                break


async def test_a_killed_worker_keeps_its_places_no_longer_than_a_lease_lasts(
    running_gateway: Any, slow: Slow, eventually: Any
):
    """Pain point 4: what a dead process held is never given back."""
    slow.takes_s = 60.0
    gateway = running_gateway(workers=2, config=CONFIG, UPSTREAM=f"http://127.0.0.1:{slow.port}")
    held = [asyncio.create_task(gateway.get("/counted", key("key_a"), 30)) for _ in range(5)]
    await eventually(lambda: slow.running == 5)
    assert (await gateway.get("/counted", key("key_a"))).status == 429
    await asyncio.sleep(1.5)  # longer than a lease: it is renewed
    assert (await gateway.get("/counted", key("key_a"))).status == 429
    for worker in gateway.workers():
        os.kill(worker, signal.SIGKILL)
    await asyncio.wait(held)
    slow.takes_s = 0.0
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(15):
        while True:
            try:
                if (await gateway.get("/counted", key("key_a"))).status == 200:
                    break
            except (OSError, EOFError):
                pass
    assert asyncio.get_running_loop().time() - started < 10
    assert [task.exception() is not None for task in held] == [True] * 5


async def test_over_a_reload_what_runs_in_the_old_workers_keeps_its_places(
    running_gateway: Any, slow: Slow, eventually: Any
):
    """Pain point 23: a reload that hurts what is going on."""
    slow.takes_s = 4.0
    gateway = running_gateway(workers=2, config=CONFIG, UPSTREAM=f"http://127.0.0.1:{slow.port}")
    held = [asyncio.create_task(gateway.get("/counted", key("key_a"), 30)) for _ in range(5)]
    await eventually(lambda: slow.running == 5)
    old = gateway.workers()
    gateway.signal(signal.SIGHUP)
    await eventually(lambda: len(gateway.workers() - old) == 2, 30)
    while slow.running == 5:
        status = (await gateway.get("/counted", key("key_a"))).status
        assert status == 429 or slow.running < 5
    assert [(await task).status for task in held] == [200] * 5
    slow.takes_s = 0.0
    assert (await gateway.get("/counted", key("key_a"))).status == 200
