"""Metrics, access log and usage of real processes, one of them killed with -9."""

import asyncio
import json
import os
import signal
import time
import urllib.request

from tidegate.config import Redis
from tidegate.gateway import metrics_directory
from tidegate.store import open_store
from tidegate.telemetry import read_usage
from tidegate.telemetry.worker_files import read_sum

PREMIUM = "X-API-Key: premium_user\r\n"


def answered(gateway):
    """200s of the route so far, over all workers that ever were."""
    counts = read_sum(metrics_directory(gateway.data_dir)).get("tidegate_requests", {})
    return counts.get("test\x1ftest\x1f200\x1fupstream", 0)


async def used(gateway):
    store = await open_store(Redis(), gateway.data_dir)
    try:
        now = int(time.time()) // 60
        return sum(row.requests for row in await read_usage(store, "acme", now - 5, now))
    finally:
        await store.aclose()


async def asked(gateway, count):
    for _ in range(count):
        assert (await gateway.get("/api/v1/test", PREMIUM)).status == 200


async def test_what_a_second_has_passed_over_survives_kill_9_and_a_reload(
    running_gateway, eventually
):
    gateway = running_gateway()
    await asked(gateway, 40)
    await eventually(lambda: answered(gateway) == 40)
    async with asyncio.timeout(5):
        while await used(gateway) != 40:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)
    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    assert answered(gateway) == 40
    await asked(gateway, 10)
    await eventually(lambda: answered(gateway) == 50)
    url = f"{gateway.admin_url}/metrics"
    with await asyncio.to_thread(urllib.request.urlopen, url) as response:
        text = response.read().decode()
    ours = 'tidegate_requests_total{route="test",service="test",source="upstream",status="200"}'
    assert f"{ours} 50.0" in text
    gateway.signal(signal.SIGHUP)
    least = 50
    before = gateway.workers()
    async with asyncio.timeout(20):
        while before & gateway.workers():
            now = answered(gateway)
            assert now >= least
            least = now
            await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        while await used(gateway) != 50:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


async def test_what_is_not_yet_written_when_a_worker_is_killed_is_a_second_at_most(
    running_gateway, eventually
):
    gateway = running_gateway()
    finished: list[float] = []

    async def ask():
        if (await gateway.get("/api/v1/test", PREMIUM)).status == 200:
            finished.append(time.monotonic())

    began = time.monotonic()
    while time.monotonic() < began + 2.5:
        await ask()
    killed_at = time.monotonic()
    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    old = sum(at < killed_at - 1.5 for at in finished)  # a second, and half of one to write
    assert old > 0
    assert old <= answered(gateway) <= len(finished)
    assert old <= await used(gateway) <= len(finished)


async def test_the_access_log_is_json_on_standard_output(running_gateway):
    gateway = running_gateway(workers=1)
    assert (await gateway.get("/api/v1/test?token=hush", PREMIUM)).status == 200
    line = json.loads(await asyncio.to_thread(gateway.process.stdout.readline))
    assert (line["status"], line["tenant"], line["path"]) == (200, "acme", "/api/v1/test?token=***")
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    assert b"hush" not in gateway.process.stdout.read()


async def test_explain_is_told_by_the_command_line(running_gateway):
    gateway = running_gateway(workers=1)
    told = await gateway.command("explain", "GET", "/api/v1/test", "--key", "premium_user")
    assert (told["verdict"], told["route"], told["caller"]["plan"]) == (
        "forwarded", "test", "premium",
    )  # fmt: skip
