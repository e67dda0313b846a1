"""The control process of `tidegate serve`: apart from the traffic, restarted, replaced, and ended
with the rest."""

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import httpx2

from tests.end_to_end.conftest import CONFIG


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def shown_by_ps(pid: int) -> bytes:
    """Arguments and environment."""
    place = Path(f"/proc/{pid}")
    return (place / "cmdline").read_bytes() + (place / "environ").read_bytes()


async def health(gateway: Any) -> int:
    """The status of the admin API's /health; a connection waits until somebody serves it."""
    return await status(gateway)


async def status(gateway: Any, path: str = "/health", host: str = "127.0.0.1") -> int:
    async with httpx2.AsyncClient(trust_env=False, timeout=15.0) as client:
        url = f"http://127.0.0.1:{gateway.admin_port}{path}"
        return (await client.get(url, headers={"host": host})).status_code


async def test_it_answers_in_a_process_of_its_own_whose_death_refuses_no_request(
    running_gateway: Any,
) -> None:
    gateway = running_gateway()
    assert gateway.admin_url.startswith("http://127.0.0.1:")
    assert await health(gateway) == 200
    (victim,) = gateway.control()
    workers = gateway.workers()
    assert victim not in workers
    async with gateway.load() as load:
        os.kill(victim, signal.SIGKILL)
        assert await health(gateway) == 200
    assert (load.failures, load.answers.keys()) == ([], {200})
    assert gateway.workers() == workers
    assert not gateway.control() & {victim}
    assert f"The control process {victim} was ended by SIGKILL" in gateway.said()


async def test_it_goes_with_the_supervisor_however_that_ends(
    running_gateway: Any, clients: Any
) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        # A port of its own, which nobody takes the moment it is free.
        gateway = running_gateway(workers=1, options=("--admin-port", "0"))
        assert await health(gateway) == 200
        control, stores = gateway.control(), gateway.stores()
        gateway.signal(number)
        await gateway.ended()
        await clients.eventually(lambda pids=control: not alive(pids))
        await clients.eventually(lambda pids=stores: not alive(pids), 15)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", gateway.admin_port)) != 0


async def test_killed_with_everything_else_it_leaves_no_orphan(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway(workers=1)
    assert await health(gateway) == 200
    everything = {gateway.process.pid, *gateway.workers(), *gateway.control(), *gateway.stores()}
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    await gateway.ended()
    await clients.eventually(lambda: not alive(everything) and not gateway.stores())


async def test_a_taken_admin_port_names_its_holder_and_the_option(running_gateway: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = running_gateway(options=("--admin-port", str(port)), expect_ready=False)
        assert await refused.ended() == 1
        assert f"Port {port} is taken by pid {os.getpid()} " in refused.said()
        assert "--admin-port" in refused.said()
        # Where nobody has asked for one, there is always another port.
        first, second = running_gateway(workers=1), running_gateway(workers=1)
    assert first.admin_port != second.admin_port
    assert await health(first) == await health(second) == 200


async def test_switched_off_there_is_neither_process_nor_port_nor_token(
    running_gateway: Any, config_text: str
) -> None:
    gateway = running_gateway(
        workers=1, config=f"{config_text}admin: false\n", TIDEGATE_ADMIN_PORT="8001"
    )
    assert gateway.admin_url == ""
    assert not gateway.control()
    assert not (gateway.data_dir / "admin-token").exists()


async def test_the_token_is_made_once_and_kept_from_everybody(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway(workers=1)
    assert await health(gateway) == 200
    path = gateway.data_dir / "admin-token"
    token = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token.startswith("tg_admin_")
    told = await gateway.command("admin", "login")
    assert (told["token"], told["url"]) == (token, gateway.admin_url)
    for pid in {gateway.process.pid, *gateway.workers(), *gateway.control()}:
        assert token.encode() not in shown_by_ps(pid)
    gateway.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 1 worker" in gateway.said(), 30)
    gateway.signal(signal.SIGTERM)
    await gateway.ended()
    assert token not in gateway.said()
    running_gateway(workers=1)
    assert path.read_text().strip() == token


async def test_a_reload_replaces_it_and_tells_what_changed_without_secrets(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway(APP_NAME="shop")
    assert await health(gateway) == 200
    (before,) = gateway.control()
    text = gateway.config.read_text()
    text = text.replace("rate: 5/s, burst: 10", "rate: 7/s, burst: 10")
    gateway.config.write_text(text.replace("value: premium_user", "value: another_secret_value"))
    gateway.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 2 workers" in gateway.said(), 30)
    assert await health(gateway) == 200
    await clients.eventually(lambda: not alive({before}))
    assert len(gateway.control()) == 1
    said = gateway.said()
    assert " shop INFO tidegate.supervisor[" in said
    assert "5/s" in said
    assert "7/s" in said
    assert "premium_user: value changed" in said
    assert "another_secret_value" not in said


async def test_a_reload_leaves_admin_and_addresses_as_they_were_bound(
    running_gateway: Any, clients: Any, config_text: str
) -> None:
    config = f"{config_text}admin: {{host: 0.0.0.0, port: 0, hosts: [old.example]}}\n"
    gateway = running_gateway(workers=1, config=config)
    assert await health(gateway) == 200
    (before,) = gateway.control()
    for old, new in (
        ("listen: {host: 127.0.0.1", "listen: {host: 127.0.0.2"),
        ("admin: {host: 0.0.0.0", "admin: {host: 127.0.0.1"),
        ("old.example", "new.example"),
    ):
        config = config.replace(old, new)
    gateway.config.write_text(config)
    gateway.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 1 worker" in gateway.said(), 30)
    await clients.eventually(lambda: not alive({before}))
    # The socket is where it was, open to others: /metrics still asks for the token.
    assert await status(gateway, path="/metrics") == 401
    assert await status(gateway, host="old.example") == 200
    assert await status(gateway, host="new.example") == 421
    said = gateway.said()
    assert "admin changes at the next start only" in said
    assert "listen.host and listen.port change at the next start only" in said
    assert "Changed in the configuration: nothing" in said


async def test_under_load_a_reload_loses_nothing_and_what_left_the_file_opens_nothing(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway()
    made = await gateway.command("keys", "create", "--tenant", "strict", "--name", "ci")
    kept = await asyncio.open_connection("127.0.0.1", gateway.port)
    exact = "X-API-Key: exact_user\r\n"
    assert (await clients.ask(kept, "/api/v1/test", exact)).status == 200
    lines = gateway.config.read_text().splitlines(keepends=True)
    gateway.config.write_text("".join(line for line in lines if "name: strict" not in line))
    async with gateway.load() as load, gateway.load("/open/test", "") as unlimited:
        gateway.signal(signal.SIGHUP)
        await clients.eventually(lambda: "Replaced 2 workers" in gateway.said(), 30)
        for header in (exact, f"X-API-Key: {made['key']}\r\n"):
            statuses = {(await gateway.get("/api/v1/test", header)).status for _ in range(8)}
            assert statuses == {401}
    assert (load.failures, load.answers.keys()) == ([], {200})
    assert (unlimited.failures, unlimited.answers.keys()) == ([], {200})
    assert "tenant strict removed" in gateway.said()
    assert await kept[0].read() == b""  # its worker has drained
    kept[1].close()


async def test_a_worker_whose_loop_a_policy_blocks_is_replaced_and_says_where(
    running_gateway: Any, clients: Any, short_dir: Path, config_text: str
) -> None:
    (short_dir / "blocks.py").write_text(
        "import time\n"
        "from pydantic import BaseModel\n"
        "class Settings(BaseModel):\n"
        "    pass\n"
        "def build(settings: Settings):\n"
        "    async def blocks_the_loop(request, call_next):\n"
        "        time.sleep(3600)\n"
        "    return blocks_the_loop\n"
    )
    blocked = "      - {name: bad, paths: [/bad], auth: none, policies: [{use: blocks.py}]}\n"
    config = config_text.replace("port: 0}", "port: 0, bounds: {hang_timeout: 2s}}") + blocked
    gateway = running_gateway(workers=1, config=config)
    (victim,) = gateway.workers()
    hanging = asyncio.create_task(gateway.get("/bad/test", timeout_s=20))
    await clients.eventually(lambda: f"Process {victim} hangs" in gateway.said(), 20)
    assert (await gateway.get("/open/test", timeout_s=20)).status == 200
    assert "in blocks_the_loop" in gateway.said()
    assert not gateway.workers() & {victim}
    answers = await asyncio.gather(hanging, return_exceptions=True)
    assert isinstance(answers[0], OSError | EOFError)


FAILS_IN_IT = """\
import sys

if sys.argv[0].endswith("control_process.py"):
    raise ValueError("broken meanwhile")

def build():
    async def policy(request, call_next):
        return await call_next(request)
    return policy
"""


async def test_a_policy_that_breaks_while_workers_are_replaced_is_told_in_one_line(
    running_gateway: Any, clients: Any, short_dir: Path
) -> None:
    own = short_dir / "own.py"
    own.write_text(FAILS_IN_IT.replace("raise", "pass  #"))
    config = CONFIG.replace("paths: [/open]", "paths: [/open], policies: [{use: own.py}]")
    gateway = running_gateway(workers=1, config=config)
    assert await health(gateway) == 200
    own.write_text(FAILS_IN_IT)
    gateway.signal(signal.SIGHUP)
    await clients.eventually(lambda: "; not replaced: The control process" in gateway.said(), 30)
    said = gateway.said()
    assert "The control process was not replaced: policy" in said
    assert "importing it raised ValueError('broken meanwhile')\n" in said
    assert "Traceback" not in said
    assert await health(gateway) == 200
