"""The gateway inside your own FastAPI app: `uvicorn fastapi_mount:app` beside a tidegate.yaml.

Your routes come first; whatever none of them takes goes to the gateway.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tidegate import Gateway

CONFIG = os.environ.get("TIDEGATE_CONFIG", "tidegate.yaml")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Gateway.from_file(CONFIG) as gateway:
        app.mount("/", gateway)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"from": "your own app"}
