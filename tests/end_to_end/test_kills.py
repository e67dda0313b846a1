"""What requests see when `kill -9` meets the store or all of it at once, through two workers."""

import asyncio
import os
import signal
from typing import Any

KNOWN = "X-API-Key: premium_user\r\n"


def server_of(gateway: Any) -> int:
    """The pid of the embedded Valkey."""
    lock = gateway.data_dir / "server.lock"
    return int(lock.read_text())


async def test_a_killed_store_stops_no_known_key_and_forgets_neither_key_nor_limit(
    running_gateway: Any, clients: Any
) -> None:
    """Pain points 7 and 12: an outage is a 401 for keys that are good, or a 500 everywhere."""
    gateway = running_gateway()
    made = await gateway.command("keys", "create", "--tenant", "acme", "--name", "ci")
    header = f"X-API-Key: {made['key']}\r\n"
    strict = "X-API-Key: exact_user\r\n"
    spent = [await gateway.get("/api/v1/test", strict) for _ in range(101)]
    assert [answer.status for answer in spent] == [200] * 100 + [429]
    victim = server_of(gateway)
    async with (
        gateway.load(headers=header) as limited,
        gateway.load("/open/test", headers="") as unlimited,
    ):
        await clients.eventually(lambda: limited.answers.get(200, 0) > 50)
        os.kill(victim, signal.SIGKILL)
        await clients.eventually(lambda: "decided without the store" in gateway.said())
        seen = limited.answers[200]
        await clients.eventually(lambda: limited.answers[200] > seen + 200, 20)
    assert server_of(gateway) != victim
    assert limited.answers.keys() == {200}
    assert unlimited.answers.keys() == {200}
    assert (limited.failures, unlimited.failures) == ([], [])
    async with asyncio.timeout(10):  # the other worker makes its own way back to the store
        while b"tidegate-degraded" in (answer := await gateway.get("/api/v1/test", strict)).head:
            pass
    assert answer.status == 429


async def test_a_503_of_a_store_that_is_away_says_when_to_come_back(
    running_gateway: Any, config_text: str
) -> None:
    closed = config_text.replace("{name: test, ", "{name: test, on_store_failure: closed, ")
    gateway = running_gateway(workers=1, config=closed)
    assert (await gateway.get("/api/v1/test", KNOWN)).status == 200
    server = server_of(gateway)
    os.kill(server, signal.SIGSTOP)  # it is there and does not answer
    try:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        answer = await gateway.get("/api/v1/test", KNOWN)
        waited_s = loop.time() - asked_at
        assert (await gateway.get("/open/test")).status == 200
        assert (await gateway.get("/ready")).status == 200
    finally:
        os.kill(server, signal.SIGCONT)
    assert answer.status == 503
    assert b"retry-after: 1" in answer.head
    assert b'"source":"gateway"' in answer.body
    assert waited_s < 1.0  # 50 ms, on a busy machine


async def test_killed_all_at_once_nothing_stays_and_a_successor_knows_key_and_limit(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    made = await gateway.command("keys", "create", "--tenant", "acme", "--name", "ci")
    strict = "X-API-Key: exact_user\r\n"
    for _ in range(100):
        assert (await gateway.get("/api/v1/test", strict)).status == 200
    everything = {gateway.process.pid, *gateway.workers(), *gateway.stores()}
    assert len(everything) >= 5  # supervisor, two workers, guard, store
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    await gateway.ended()
    await clients.eventually(lambda: not gateway.stores())
    successor = running_gateway(port=gateway.port)
    answer = await successor.get("/api/v1/test", f"X-API-Key: {made['key']}\r\n")
    assert answer.status == 200
    assert (await successor.get("/api/v1/test", strict)).status == 429
