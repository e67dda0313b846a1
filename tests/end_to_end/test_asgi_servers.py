"""The ASGI door under a real server: `tidegate.asgi:app`, and the example that mounts a gateway."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from tidegate import Gateway
from tidegate.config import Config

EXAMPLES = Path(__file__).parents[2] / "examples"
PREMIUM = {"X-API-Key": "premium_user"}
GATEWAY = """\
version: 1
plans: {exact: {rate: 1/h, burst: 100}, premium: {rate: 1000/s, burst: 2000}}
tenants:
  - {name: acme, plan: premium, keys: [{name: premium_user, value: premium_user}]}
  - {name: strict, plan: exact, keys: [{name: exact_user, value: exact_user}]}
services:
  - {name: test, targets: ["${UPSTREAM}"], routes: [{name: test, paths: [/api/v1]}]}
"""


@pytest.fixture
def run_uvicorn(short_dir: Path, echo_url: str, free_port: int) -> Iterator[Any]:
    """`run_uvicorn(app, workers)` starts `uvicorn app` beside a tidegate.yaml; returns its pid."""
    (short_dir / "tidegate.yaml").write_text(GATEWAY)
    environ = os.environ | {"UPSTREAM": echo_url, "TIDEGATE_CONFIG": "tidegate.yaml"}
    environ["PYTHONPATH"] = os.pathsep.join([str(EXAMPLES), environ["PYTHONPATH"]])
    environ.pop("REDIS_URL", None)
    running: list[subprocess.Popen[bytes]] = []

    def run(app: str, workers: int) -> subprocess.Popen[bytes]:
        with (short_dir / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", app, "--port", str(free_port),
                 "--workers", str(workers)],
                cwd=short_dir, env=environ, stdout=log, stderr=log,
            )  # fmt: skip
        running.append(process)
        return process

    yield run
    for process in running:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/ready")
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_two_uvicorn_workers_share_one_store_and_admit_exactly_the_burst(
    run_uvicorn: Any, free_port: int, short_dir: Path, clients: Any
) -> None:
    server = run_uvicorn("tidegate.asgi:app", workers=2)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as client:
        await ready(client)
        answer = await client.get("/api/v1/test?a=b", headers=PREMIUM)
        assert (answer.status_code, answer.json()["query"]) == (200, "a=b")
        assert answer.json()["headers"]["x-tidegate-tenant"] == "acme"
        assert (await client.get("/api/v1/test")).status_code == 401
    header = "X-API-Key: exact_user\r\n"
    asked = [clients.get(free_port, "/api/v1/test", 20, header) for _ in range(300)]
    statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert (statuses.count(200), statuses.count(429)) == (100, 200)
    server.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait, 20) == 0
    await clients.eventually(lambda: not (short_dir / ".tidegate" / "valkey.sock").exists())


async def test_the_example_that_mounts_a_gateway_in_fastapi(
    run_uvicorn: Any, free_port: int
) -> None:
    run_uvicorn("fastapi_mount:app", workers=1)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as client:
        await ready(client)
        assert (await client.get("/hello")).json() == {"from": "your own app"}
        answer = await client.post("/api/v1/test", headers=PREMIUM, content=b"x" * 100_000)
        assert (answer.status_code, answer.json()["body_bytes"]) == (200, 100_000)
        assert answer.headers["x-ratelimit-limit"] == "2000"


async def test_a_gateway_that_nobody_opened_tells_the_client_which_line_to_add() -> None:
    route = {"name": "all", "auth": ()}
    service = {"name": "test", "targets": ["http://127.0.0.1:9"], "routes": [route]}
    app = FastAPI()
    app.mount("/", Gateway(Config.model_validate({"version": 1, "services": [service]}),
                           data_dir=Path("unused")))  # fmt: skip
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert "async with gateway:" in answer.json()["detail"]
