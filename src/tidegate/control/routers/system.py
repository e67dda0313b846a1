"""What monitoring asks, without a token: whether this process is alive, and the metrics.

/metrics names services, routes and targets, no tenant and no key. On a loopback address it is
open, as Prometheus usually scrapes; elsewhere it needs the token like everything else (Prometheus:
`authorization: {credentials_file: ...}`).
"""

from typing import Literal

from anyio import to_thread
from fastapi import APIRouter
from starlette.responses import Response

from tidegate.control.fields import Shown
from tidegate.control.parts import PartsNeeded
from tidegate.gateway.observation import metrics_directory
from tidegate.telemetry import CONTENT_TYPE, exposition

router = APIRouter(tags=["system"])


class Health(Shown):
    status: Literal["alive"]
    store: Literal["up", "down"]


@router.get("/health")
async def health(parts: PartsNeeded) -> Health:
    """Say that this process is alive, and whether it reaches the store."""
    return Health(status="alive", store="up" if parts.gateway.store.is_up else "down")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(parts: PartsNeeded) -> Response:
    """The metrics of all workers, summed, for Prometheus."""
    directory = metrics_directory(parts.data_dir)
    text = await to_thread.run_sync(exposition, directory)
    return Response(text, headers={"content-type": CONTENT_TYPE})
