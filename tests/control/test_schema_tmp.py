"""The OpenAPI document against the application behind uvicorn, on a real store: schemathesis.

On Redis 7.0, which cannot say whether a write is on disk, so that no change waits 100 ms for it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control.conftest import TOKEN
from tidegate.config import Redis
from tidegate.store import Store, open_store

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
async def store(redis_server: str, tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(Redis(url=redis_server, timeout=2.0), tmp_path, wait_s=20)
    await store.execute("FLUSHALL")
    yield store
    await store.aclose()


@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing(served: int, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"http://127.0.0.1:{served}/openapi.json"),
        *("-H", f"Authorization: Bearer {TOKEN}", "--checks", "all"),
        *("--max-examples", "2", "--seed", "1", "--continue-on-failure"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    print(output.decode()); assert process.returncode == 0, output.decode()
