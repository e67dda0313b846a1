"""A service without a socket: asgi_target.yaml names this app as its target.

`tidegate serve --config asgi_target.yaml` in this folder: each worker imports the app, runs its
lifespan once, and hands it the requests that authentication and limits have let through.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "Hello"}


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello(request: Request) -> dict[str, str]:
    tenant = request.headers["x-tidegate-tenant"]
    return {"text": f"{request.state.greeting}, {tenant}"}
