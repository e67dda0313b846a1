"""Which processes of the fleet are alive, and whether they run the same thing."""

from dataclasses import asdict

from fastapi import APIRouter

from tidegate.control.fields import Shown
from tidegate.control.parts import PartsNeeded
from tidegate.gateway import alive, fingerprint

router = APIRouter(prefix="/v1", tags=["nodes"])


class ShownNode(Shown):
    id: str
    role: str
    """`worker`, `asgi` or `control`."""
    host: str
    pid: int
    version: str
    started_at: int
    config: str
    """Fingerprint of the configuration in force there."""


class ShownNodes(Shown):
    config: str
    """Fingerprint of the configuration in force here."""
    items: list[ShownNode]


@router.get("/nodes")
async def list_nodes(parts: PartsNeeded) -> ShownNodes:
    """List every gateway process on this store that said within 10 seconds that it is alive."""
    nodes = [ShownNode(**asdict(node)) for node in await alive(parts.gateway.store)]
    return ShownNodes(config=fingerprint(parts.gateway.config), items=nodes)
