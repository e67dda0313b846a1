"""The admin API as it is, over the real embedded Valkey; requests skip the socket only."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tidegate.config import Config
from tidegate.control import application
from tidegate.store import Store

TOKEN = "tg_admin_of_the_tests"

MakeApplication = Callable[..., FastAPI]
Client = httpx2.AsyncClient


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "version": 1,
            "plans": {
                "free": {
                    "limits": [
                        {"name": "steady", "rate": "5/s", "burst": 10},
                        {"name": "month", "quota": "1000/month", "per": "tenant"},
                    ]
                }
            },
            "tenants": [
                {
                    "name": "demo",
                    "plan": "free",
                    "keys": [{"name": "user_1", "value": "user_1"}],
                }
            ],
            "services": [
                {
                    "name": "things",
                    "targets": ["http://127.0.0.1:9000"],
                    "routes": [
                        {"name": "things", "paths": ["/api/v1"], "methods": ["GET"], "cost": 2},
                        {"name": "open", "paths": ["/open"], "auth": []},
                    ],
                }
            ],
        }
    )


@pytest.fixture
def make_application(config: Config, valkey: Store, tmp_path: Path) -> MakeApplication:
    def make(config: Config = config, **options: object) -> FastAPI:
        return application(
            config,
            valkey,
            admin_token=SecretStr(TOKEN),
            data_dir=tmp_path,
            app_name="tidegate",
            **{"place_of": lambda kind, name: f"gate.yaml:7 ({kind} {name})", **options},  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
async def app(make_application: MakeApplication) -> AsyncIterator[FastAPI]:
    app = make_application()
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[Client]:
    """A client without the token."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with Client(transport=transport, base_url="http://127.0.0.1:8001") as client:
        yield client


@pytest.fixture
async def admin(app: FastAPI) -> AsyncIterator[Client]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with Client(
        transport=transport,
        base_url="http://127.0.0.1:8001",
        headers={"authorization": f"Bearer {TOKEN}"},
    ) as client:
        yield client
