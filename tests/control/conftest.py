"""The admin API as it is, over the real embedded Valkey; requests skip the socket only."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from tidegate.config import Config, load
from tidegate.control import application
from tidegate.store import Store

TOKEN = "tg_admin_of_the_tests"

MakeApplication = Callable[..., FastAPI]
Client = httpx2.AsyncClient


FILE = """\
version: 1
plans:
  free: {rate: 5/s, burst: 10, limits: [{name: month, quota: 1000/month, per: tenant}]}
tenants:
  - {name: demo, plan: free, keys: [{name: user_1, value: user_1}]}
services:
  - name: things
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: things, paths: [/api/v1], methods: [GET], cost: 2}
      - {name: open, paths: [/open], auth: none}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "gate.yaml"
    path.write_text(FILE)
    return load(path, {})


@pytest.fixture
def store(valkey: Store) -> Store:
    """The store that the application works on; a module may have another one."""
    return valkey


@pytest.fixture
def make_application(config: Config, store: Store, tmp_path: Path) -> MakeApplication:
    def make(config: Config = config) -> FastAPI:
        return application(
            config,
            store,
            admin_token=SecretStr(TOKEN),
            data_dir=tmp_path,
            app_name="tidegate",
        )

    return make


@pytest.fixture
async def app(make_application: MakeApplication) -> AsyncIterator[FastAPI]:
    app = make_application()
    async with app.router.lifespan_context(app):
        yield app


def client_of(app: FastAPI, **headers: str) -> Client:
    """A client that skips the socket alone."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return Client(transport=transport, base_url="http://127.0.0.1:8001", headers=headers)


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[Client]:
    """A client without the token."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def admin(app: FastAPI) -> AsyncIterator[Client]:
    async with client_of(app, authorization=f"Bearer {TOKEN}") as client:
        yield client


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: they are pytest's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def served(make_application: MakeApplication) -> AsyncIterator[int]:
    """The port of the application behind a real uvicorn on a loopback socket."""
    # asyncio turns Nagle off only where the protocol is named: else each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        make_application(), log_config=None, access_log=False, lifespan="on", proxy_headers=False
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 uvicorn sets no event
        await asyncio.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving
