"""Clients that people use, through two workers: what they send arrives, what is sent back too."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest

from tests.end_to_end.conftest import CONFIG
from tidegate.testing.scripted_upstream import ScriptedUpstream, Step

KEY = {"X-API-Key": "premium_user"}
BODY_BYTES = 256 * 2**20
GROWTH_BYTES_MAX = 16 * 2**20
"""Of a worker's peak memory while such a body passes: buffers, never the body."""


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def curl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "60", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_curl(running_gateway: Any, short_dir: Path) -> None:
    url = f"http://127.0.0.1:{running_gateway().port}/api/v1/test"
    key = ("-H", "X-API-Key: premium_user")
    codes = ("-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n")
    assert await curl(*key, *codes, url, *codes, url) == "200 1\n200 0\n"  # kept alive
    assert await curl(*codes, url) == "401 1\n"
    assert await curl(*key, "--http1.0", *codes, url) == "200 1\n"
    assert await curl(*key, "--http2", *codes, url) == "200 1\n"  # asks for h2c, gets HTTP/1.1
    assert (await curl(*key, "-I", url)).startswith("HTTP/1.1 200 OK")
    file = short_dir / "upload"
    file.write_bytes(b"x" * 3_000_000)
    uploads = (
        ("--data-binary", f"@{file}"),
        ("-T", str(file)),
        ("-T", str(file), "-H", "Transfer-Encoding: chunked"),
        ("-T", str(file), "-H", "Expect: 100-continue"),
    )
    for upload in uploads:
        assert json.loads(await curl(*key, *upload, url))["body_bytes"] == 3_000_000


async def test_httpx2(running_gateway: Any) -> None:
    base_url = f"http://127.0.0.1:{running_gateway().port}"

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"p" * 10_000

    async with httpx2.AsyncClient(base_url=base_url, headers=KEY) as client:
        many = await asyncio.gather(*(client.get(f"/api/v1/{n}") for n in range(200)))
        assert {answer.status_code for answer in many} == {200}
        assert [answer.json()["path"] for answer in many] == [f"/api/v1/{n}" for n in range(200)]
        told = (await client.put("/api/v1/test", content=pieces())).json()
        assert (told["method"], told["body_bytes"]) == ("PUT", 200_000)
        assert len((await client.get("/api/v1/bytes/5000000")).content) == 5_000_000


async def test_aiohttp(running_gateway: Any) -> None:
    base_url = f"http://127.0.0.1:{running_gateway().port}"
    async with aiohttp.ClientSession(base_url, headers=KEY) as client:

        async def path_told(number: int) -> str:
            async with client.get(f"/api/v1/{number}") as answer:
                told: str = (await answer.json())["path"]
                return told

        told = await asyncio.gather(*(path_told(n) for n in range(200)))
        assert told == [f"/api/v1/{n}" for n in range(200)]
        form = {"text": "x", "file": io.BytesIO(b"f" * 500_000)}
        async with client.post("/api/v1/test", data=form) as answer:
            assert (await answer.json())["body_bytes"] > 500_000
        async with client.get("/api/v1/bytes/5000000") as answer:
            assert len(await answer.read()) == 5_000_000


async def test_a_server_sent_event_arrives_before_the_next_is_sent(running_gateway: Any) -> None:
    events = [b"data: %d\n\n" % number for number in range(4)]
    received = [asyncio.Event() for _ in events]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    steps: list[Step] = [head]
    for event, is_received in zip(events, received, strict=True):
        steps += [b"%x\r\n%b\r\n" % (len(event), event), is_received]
    steps.append(b"0\r\n\r\n")
    async with ScriptedUpstream([steps]) as upstream, asyncio.timeout(20):
        gateway = running_gateway(config=CONFIG.replace("${UPSTREAM}", upstream.url))
        url = f"http://127.0.0.1:{gateway.port}/api/v1/events"
        async with httpx2.AsyncClient(headers=KEY) as client, client.stream("GET", url) as answer:
            waiting = iter(received)
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    next(waiting).set()
    assert all(is_received.is_set() for is_received in received)


@pytest.mark.parametrize("way", ["download", "upload"])
async def test_a_large_body_passes_while_the_worker_s_memory_stays_flat(
    running_gateway: Any, way: str, record_property: Any
) -> None:
    gateway = running_gateway(workers=1)
    (worker,) = gateway.workers()
    url = f"http://127.0.0.1:{gateway.port}/api/v1"
    key = ("-H", "X-API-Key: premium_user")
    await curl(*key, "-o", "/dev/null", f"{url}/bytes/10000000")
    reset_peak(worker)
    before = peak_bytes(worker)
    if way == "download":
        sizes = ("-o", "/dev/null", "-w", "%{size_download}")
        assert await curl(*key, *sizes, f"{url}/bytes/{BODY_BYTES}") == str(BODY_BYTES)
    else:
        process = await asyncio.create_subprocess_shell(
            f"head -c {BODY_BYTES} /dev/zero | curl -sS --max-time 100 -H 'X-API-Key: premium_user'"
            f" -T - {url}/test",
            stdout=asyncio.subprocess.PIPE,
        )
        told = json.loads((await process.communicate())[0])
        assert told["body_bytes"] == BODY_BYTES
    grown = peak_bytes(worker) - before
    record_property("worker_memory_before_bytes", before)
    record_property("worker_memory_growth_bytes", grown)
    print(f"{way}: worker at {before / 2**20:.1f} MiB, grew {grown / 2**20:.1f} MiB")
    assert grown < GROWTH_BYTES_MAX
