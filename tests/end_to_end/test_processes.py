"""The processes of `tidegate serve`: replaced, killed, drained, and none left behind."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tidegate.identity.key_format import new_key

PREMIUM = "X-API-Key: premium_user\r\n"


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def listening_sockets(port: int) -> int:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(field[1].endswith(f":{port:04X}") and field[3] == "0A" for field in fields)


async def test_exactly_as_many_processes_as_asked_for_answer(running_gateway: Any) -> None:
    gateway = running_gateway(workers=3)
    workers = gateway.workers()
    assert len(workers) == 3
    assert all(b"tidegate.worker" in command_line(pid) for pid in workers)
    assert listening_sockets(gateway.port) == 3


async def test_replacing_workers_under_load_loses_no_connection(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    before = gateway.workers()
    async with gateway.load() as load:
        for rounds in (1, 2):  # what has replaced is replaced too
            gateway.signal(signal.SIGHUP)
            await clients.eventually(
                lambda n=rounds: gateway.said().count("Replaced 2 workers") == n, 30
            )
    assert load.failures == []
    assert load.answers.keys() == {200}
    assert load.answers[200] > 200
    await clients.eventually(lambda: not alive(before))
    await clients.eventually(lambda: len(gateway.workers()) == 2)


async def test_a_reload_brings_the_new_configuration_and_a_wrong_one_changes_nothing(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    valid = gateway.config.read_text()
    assert (await gateway.get("/new/test")).status == 404
    gateway.config.write_text(valid.replace("paths: [/open]", "paths: [/open, /new]"))
    gateway.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 2 workers" in gateway.said(), 30)
    assert (await gateway.get("/new/test")).status == 200
    await clients.eventually(lambda: len(gateway.workers()) == 2)
    workers = gateway.workers()
    gateway.config.write_text(valid.replace("auth: none", "auth: nonsense"))
    gateway.signal(signal.SIGHUP)
    await clients.eventually(lambda: "The configuration stays as it is" in gateway.said())
    assert "nonsense" in gateway.said()
    assert gateway.workers() == workers
    os.kill(min(workers), signal.SIGKILL)  # its successor runs what its siblings run
    await clients.eventually(lambda: len(gateway.workers() - workers) == 1)
    statuses = {(await gateway.get("/new/test")).status for _ in range(20)}
    assert statuses == {200}


async def test_a_killed_worker_is_replaced(running_gateway: Any, clients: Any) -> None:
    gateway = running_gateway()
    victim = min(gateway.workers())
    async with gateway.load() as load:
        os.kill(victim, signal.SIGKILL)
        await clients.eventually(lambda: len(alive(gateway.workers() - {victim})) == 2)
    assert load.answers.keys() == {200}
    assert len(load.failures) <= 8  # the connections that the victim held
    assert f"Worker {victim} was ended by SIGKILL" in gateway.said()


async def test_a_drain_finishes_what_is_in_flight_and_leaves_nothing(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    workers, stores = gateway.workers(), gateway.stores()
    assert stores
    slow = [asyncio.create_task(gateway.get("/api/v1/delay/1", PREMIUM)) for _ in range(4)]
    await asyncio.sleep(0.4)  # all four are with the upstream, which takes 1 s
    gateway.signal(signal.SIGTERM)
    assert [(await answer).status for answer in slow] == [200] * 4
    assert await gateway.ended() == 0
    assert not alive(workers)
    await clients.eventually(lambda: not alive(stores))


async def test_a_killed_supervisor_takes_all_with_it_and_a_successor_knows_the_keys(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    made = await gateway.command("keys", "create", "--tenant", "acme", "--name", "ci")
    workers, stores = gateway.workers(), gateway.stores()
    async with asyncio.timeout(10):
        gateway.process.kill()
        await clients.eventually(lambda: not alive(workers))
        await clients.eventually(lambda: not alive(stores))
    successor = running_gateway(port=gateway.port)
    answer = await successor.get("/api/v1/test", f"X-API-Key: {made['key']}\r\n")
    assert answer.status == 200


async def test_a_port_is_free_for_a_successor_while_stale_workers_still_drain(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    workers = gateway.workers()
    slow = asyncio.create_task(gateway.get("/api/v1/delay/4", PREMIUM))
    await asyncio.sleep(0.4)
    gateway.process.kill()
    await clients.eventually(lambda: listening_sockets(gateway.port) == 0)
    successor = running_gateway(port=gateway.port)
    assert alive(workers)
    assert (await successor.get("/health")).status == 200
    assert (await slow).status == 200
    await clients.eventually(lambda: not alive(workers))


async def test_a_worker_replaced_during_an_outage_of_the_store_serves_what_needs_none(
    running_gateway: Any, clients: Any, short_dir: Path, config_text: str
) -> None:
    socket_path = short_dir / "redis.sock"
    redis = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", "0", "--unixsocket", str(socket_path)),
        *("--dir", str(short_dir), "--save", ""),
        stdout=subprocess.DEVNULL,
    )
    try:
        await clients.eventually(socket_path.exists)
        open_route = "      - {name: open, paths: [/open], auth: none}\n"
        closed = "      - {name: closed, paths: [/closed], on_store_failure: closed}\n"
        config = config_text.replace(open_route, open_route + closed)
        gateway = running_gateway(workers=1, config=config, redis=f"unix://{socket_path}")
        assert (await gateway.get("/closed/test", PREMIUM)).status == 200
        redis.kill()
        await redis.wait()
        old = gateway.workers()
        os.kill(min(old), signal.SIGKILL)
        assert (await gateway.get("/open/test", timeout_s=20)).status == 200
        assert not alive(old)
        limited = await gateway.get("/api/v1/test", PREMIUM)
        assert limited.status == 200
        assert b"tidegate-degraded: local" in limited.head
        assert (await gateway.get("/closed/test", PREMIUM)).status == 503
        unknown = f"X-API-Key: {new_key()}\r\n"
        assert (await gateway.get("/api/v1/test", unknown)).status == 503
    finally:
        if redis.returncode is None:
            redis.kill()
        await redis.wait()
