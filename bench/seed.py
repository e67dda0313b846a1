"""The peer that a Python team writes first: FastAPI + httpx + redis-py, run by uvicorn.

Its settings come from the environment: BENCH_KEY, BENCH_SPENT_KEY, and the ports BENCH_STORE and
BENCH_UPSTREAM.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis

TENANTS = {os.environ["BENCH_KEY"]: "bench", os.environ["BENCH_SPENT_KEY"]: "spent"}
LIMITS = {"bench": (1_000_000, 1_000_000), "spent": (1, 1 / 3600)}
"""Capacity, and tokens a second."""
BUCKET = (Path(__file__).parent / "files" / "bucket.lua").read_text()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    store = Redis(port=int(os.environ["BENCH_STORE"]))
    app.state.bucket = store.register_script(BUCKET)
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{os.environ['BENCH_UPSTREAM']}",
        limits=httpx2.Limits(max_connections=200, max_keepalive_connections=200),
    ) as client:
        app.state.client = client
        yield
    await store.aclose()


app = FastAPI(lifespan=lifespan)


@app.api_route("/api/{path:path}", methods=["GET", "POST"])
async def proxy(path: str, request: Request) -> Response:
    tenant = TENANTS.get(request.headers.get("x-api-key", ""))
    if tenant is None:
        return Response(status_code=401)
    allowed, remaining, _ = await app.state.bucket(
        keys=[f"seed:{tenant}"], args=[*LIMITS[tenant], 1]
    )
    if not allowed:
        return Response(status_code=429)
    answer = await app.state.client.request(
        request.method,
        f"/api/{path}",
        headers=[field for field in request.headers.raw if field[0] != b"host"],
        content=await request.body(),
    )
    return Response(
        answer.content,
        answer.status_code,
        headers={
            "content-type": answer.headers["content-type"],
            "x-ratelimit-remaining": str(remaining),
        },
    )
