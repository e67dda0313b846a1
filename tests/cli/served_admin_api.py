"""An admin API as the control process runs it, in a thread of the tests, told of as by serve."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tidegate.cli.admin_token import admin_token
from tidegate.config import Settings, load
from tidegate.control import application
from tidegate.control_process import Server
from tidegate.store import open_store
from tidegate.store.gateways import Advertised, advertised, shown_store
from tidegate.supervisor import open_listener


@contextmanager
def served_admin_api(config_file: Path, data_dir: Path, **told: str) -> Iterator[list[str]]:
    """Serve while the context lasts; the value gathers what was asked and answered."""
    listener = open_listener("127.0.0.1", 0, "--admin-")
    asked: list[str] = []
    is_up = threading.Event()
    servers: list[Server] = []
    thread = threading.Thread(
        target=lambda: asyncio.run(
            _serve(config_file, data_dir, listener.socket, asked, is_up, servers)
        )
    )
    thread.start()
    host, port = listener.address
    gateway = {
        "url": f"http://{host}:{port}",
        "config": str(config_file),
        "traffic_url": "http://127.0.0.1:8000",
        "store": shown_store(load(config_file).redis, data_dir),
    }
    try:
        assert is_up.wait(20)
        with advertised(data_dir, Advertised(pid=os.getpid(), **(gateway | told))):
            yield asked
    finally:
        if servers:
            servers[0].should_exit = True
        thread.join(20)


async def _serve(
    config_file: Path,
    data_dir: Path,
    socket: Any,
    asked: list[str],
    is_up: threading.Event,
    servers: list[Server],
) -> None:
    config = load(config_file)
    store = await open_store(config.redis, data_dir, wait_s=10)
    try:
        app = application(
            config,
            store,
            admin_token=admin_token(data_dir, Settings.read()),
            data_dir=data_dir,
            app_name="tests",
        )

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            async def noted(message: Any) -> None:
                if message["type"] == "http.response.start":
                    asked.append(f"{scope['method']} {scope['path']} {message['status']}")
                await send(message)

            await app(scope, receive, noted)

        settings = uvicorn.Config(counted, lifespan="on", ws="none", log_config=None)
        servers.append(Server(settings, is_up.set))
        await servers[0].serve([socket])
    finally:
        await store.aclose()
