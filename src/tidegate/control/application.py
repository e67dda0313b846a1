"""The FastAPI application of the control plane, from what it is given; nothing is global."""

from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr

from tidegate.config import Config
from tidegate.store import Store


def application(
    config: Config, store: Store, *, admin_token: SecretStr, data_dir: Path, app_name: str
) -> FastAPI:
    """Return the application. `store` stays open for as long as it runs."""
    app = FastAPI(title=f"{app_name} admin API")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive", "store": "up" if store.is_up else "down"}

    return app
