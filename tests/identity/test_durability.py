import os
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tidegate.config.schema import Config, Redis
from tidegate.identity import KeyResolver, Repository
from tidegate.store import open_store


async def test_a_key_once_shown_survives_kill_9_of_the_embedded_store(
    config: Config, eventually: Callable[..., Awaitable[None]]
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as directory:
        store = await open_store(Redis(url="embedded", timeout=2.0), Path(directory), wait_s=20)
        try:
            created = await Repository(config, store).create_key("demo", "laptop")
            assert created.durable
            server: bytes = await store.execute("INFO", "server")
            pid = int(server.partition(b"process_id:")[2].split()[0])
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: not store.is_up)
            await eventually(lambda: store.is_up)
            caller = await KeyResolver(config, store).resolve(created.key.encode())
            assert caller.key_id == created.stored.key_id
        finally:
            await store.aclose()
