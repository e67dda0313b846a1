"""Keys, plans and limits on your own FastAPI routes: `uvicorn fastapi_limits:app`.

Beside it, the tidegate.yaml that says who may call, and how much. The same keys work for the
gateway's own routes, which `mount="/"` serves for every path that no route here takes.
"""

import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tidegate.fastapi import CurrentCaller, install, limit

app = FastAPI()
install(app, os.environ.get("TIDEGATE_CONFIG", "tidegate.yaml"), mount="/")


@app.get("/whoami")
async def whoami(caller: CurrentCaller) -> dict[str, str]:
    """Asks for a key, and charges nothing."""
    return {"tenant": caller.tenant, "plan": caller.plan, "key": caller.key_name}


@app.get("/search")
@limit("search", cost=5)
async def search(q: str) -> dict[str, list[str]]:
    """Costs five of whatever the caller's plan gives."""
    return {"found": [q]}


@app.get("/export")
@limit("export")
async def export() -> StreamingResponse:
    async def rows() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"row %d\n" % number

    return StreamingResponse(rows(), media_type="text/csv")
