"""The cache across two workers, on both stores: kept once, forgotten everywhere."""

import asyncio
import os
import signal
from collections import Counter
from typing import Any

import pytest

from tests.conftest import STORE_TIMEOUT_S

KEY = "X-API-Key: premium_user\r\n"
EXACT = "X-API-Key: exact_user\r\n"
CONNECTIONS = 12
"""So many new connections reach both workers, but for one in some thousand runs."""


@pytest.fixture
def cached(config_text: str) -> str:
    """The usual configuration with a cache on its route.

    A store that a busy machine keeps for 50 ms is a store that is away, which is a miss and decides
    no limit: others test that.
    """
    plain = "{name: test, paths: [/api/v1]}"
    assert plain in config_text
    patient = f"redis: {{timeout: {STORE_TIMEOUT_S}s}}\n"
    return patient + config_text.replace(plain, plain.replace("]}", "], cache: 1h}"))


async def seen(gateway: Any, path: str = "/api/v1/x", key: str = KEY) -> list[tuple[bytes, bytes]]:
    """Ask on new connections; return what X-Cache said and the body, of each."""
    answers = await asyncio.gather(*(gateway.get(path, key) for _ in range(CONNECTIONS)))
    assert {answer.status for answer in answers} == {200}
    return [
        (answer.head.partition(b"x-cache: ")[2].partition(b"\r\n")[0], answer.body)
        for answer in answers
    ]


async def agreed(gateway: Any) -> bytes:
    """Ask until all answers are hits of one body; return it.

    A client has its answer before the store has it, so the other worker may miss it, and each may
    miss once after a change: what was written last is what all give then.
    """
    async with asyncio.timeout(10):
        while True:
            (cache, body), *others = set(await seen(gateway))
            if cache == b"hit" and not others:
                return body


async def test_all_workers_give_what_one_has_stored_and_forget_it_together(
    running_gateway: Any, store_url: str | None, cached: str
):
    gateway = running_gateway(workers=2, config=cached, redis=store_url)
    stored = await agreed(gateway)
    for _ in range(2):
        assert set(await seen(gateway)) == {(b"hit", stored)}
    streams = await asyncio.open_connection("127.0.0.1", gateway.port)
    reader, writer = streams
    writer.write(b"POST /api/v1/x HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n")
    writer.write(f"{KEY}\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()
    async with asyncio.timeout(5):
        # A worker hears of it from the store, some milliseconds after the client.
        while stored in {body for _, body in await seen(gateway)}:
            pass
    renewed = await agreed(gateway)
    assert renewed != stored
    for _ in range(2):
        assert set(await seen(gateway)) == {(b"hit", renewed)}


async def test_hits_are_charged_exactly_whichever_worker_answers(running_gateway: Any, cached: str):
    gateway = running_gateway(workers=2, config=cached)
    answers = await asyncio.gather(*(gateway.get("/api/v1/x", EXACT) for _ in range(140)))
    assert Counter(answer.status for answer in answers) == {200: 100, 429: 40}
    refused = next(answer for answer in answers if answer.status == 429)
    assert b"x-cache" not in refused.head


async def test_a_worker_that_dies_takes_nothing_of_the_cache_with_it(
    running_gateway: Any, cached: str
):
    gateway = running_gateway(workers=2, config=cached)
    stored = await agreed(gateway)
    os.kill(min(gateway.workers()), signal.SIGKILL)
    answered = 0
    async with asyncio.timeout(10):
        while answered < CONNECTIONS:
            try:
                answer = await gateway.get("/api/v1/x", KEY)
            except (OSError, EOFError):
                continue  # it was on the way to the one that died
            assert answer.body == stored
            answered += 1
