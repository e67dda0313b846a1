"""`tidegate serve --workers 2`: what a client gets."""

import asyncio
import json
import time
from typing import Any

PREMIUM = "X-API-Key: premium_user\r\n"


async def test_keys_limits_and_health(running_gateway: Any, store_url: str | None) -> None:
    gateway = running_gateway(redis=store_url)
    assert (await gateway.get("/health")).status == 200
    assert (await gateway.get("/ready")).status == 200
    answer = await gateway.get("/api/v1/test?a=b", PREMIUM)
    told = json.loads(answer.body)
    assert (answer.status, told["path"], told["query"]) == (200, "/api/v1/test", "a=b")
    assert told["headers"]["x-tidegate-tenant"] == "acme"
    assert "x-api-key" not in told["headers"]
    assert (await gateway.get("/api/v1/test")).status == 401
    assert (await gateway.get("/api/v1/test", "X-API-Key: nobody\r\n")).status == 401
    assert (await gateway.get("/open/test")).status == 200
    assert (await gateway.get("/elsewhere")).status == 404


async def test_a_refused_client_that_waits_retry_after_is_admitted(
    running_gateway: Any, store_url: str | None
) -> None:
    gateway = running_gateway(redis=store_url)
    answers = [await gateway.get("/api/v1/test", "X-API-Key: user_1\r\n") for _ in range(14)]
    refused = [answer for answer in answers if answer.status == 429]
    assert [answer.status for answer in answers[:10]] == [200] * 10
    assert refused
    retry_after = refused[-1].head.partition(b"retry-after: ")[2].split(b"\r\n")[0]
    assert b"application/problem+json" in refused[0].head
    await asyncio.sleep(int(retry_after))
    assert (await gateway.get("/api/v1/test", "X-API-Key: user_1\r\n")).status == 200


async def test_two_workers_admit_exactly_the_burst(
    running_gateway: Any, store_url: str | None
) -> None:
    """Burst 100, refill 1/h, 2,000 requests under way at once: 40 on each of 50 connections."""
    gateway = running_gateway(redis=store_url)
    request = b"GET /api/v1/test HTTP/1.1\r\nHost: test\r\nX-API-Key: exact_user\r\n\r\n"

    async def client() -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request * 40)
        statuses = []
        for _ in range(40):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            statuses.append(int(head.split(b" ")[1]))
        writer.close()
        return statuses

    answered = await asyncio.gather(*(client() for _ in range(50)))
    statuses = [status for statuses in answered for status in statuses]
    assert (statuses.count(200), statuses.count(429)) == (100, 1900)


async def test_a_key_made_by_command_opens_and_a_revoked_one_stops_within_a_second(
    running_gateway: Any, store_url: str | None
) -> None:
    gateway = running_gateway(redis=store_url, workers=3)
    made = await gateway.command("keys", "create", "--tenant", "acme", "--name", "ci")
    header = f"X-API-Key: {made['key']}\r\n"
    kept = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(24)]
    for streams in kept:  # the key is in every worker's copies by now
        assert (await gateway.clients.ask(streams, "/api/v1/test", header)).status == 200
    last_admitted = 0.0
    revoking = asyncio.create_task(
        gateway.command("keys", "revoke", "--tenant", "acme", "--name", "ci")
    )
    revoked_by = None
    while revoked_by is None or time.monotonic() < revoked_by + 1.2:
        asked = time.monotonic()
        answers = [await gateway.clients.ask(s, "/api/v1/test", header) for s in kept]
        if any(answer.status == 200 for answer in answers):
            last_admitted = asked
        # 429: so many failures from one address are throttled before the key is looked up.
        assert {answer.status for answer in answers} <= {200, 401, 429}
        if revoked_by is None and revoking.done():
            revoked_by = time.monotonic()
    await revoking
    for streams in kept:
        streams[1].close()
    assert last_admitted < revoked_by + 1.0
    assert (await gateway.get("/api/v1/test", header)).status in (401, 429)


async def test_a_start_without_its_store_fails_with_the_reason(running_gateway: Any) -> None:
    gateway = running_gateway(redis="redis://:hidden@127.0.0.1:1", expect_ready=False)
    assert await gateway.ended() == 1
    said = gateway.said()
    assert "Error: The gateway cannot start" in said
    assert "127.0.0.1:1" in said
    assert "hidden" not in said
    assert "Traceback" not in said


async def test_a_port_that_is_taken_names_its_holder(running_gateway: Any) -> None:
    first = running_gateway()
    second = running_gateway(port=first.port, expect_ready=False)
    assert await second.ended() == 1
    assert f"Port {first.port} is taken by pid {first.process.pid} " in second.said()
    assert "--port" in second.said()
    assert (await first.get("/health")).status == 200
