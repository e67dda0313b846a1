"""The entry for ASGI servers: `uvicorn tidegate.asgi:app`, and `Gateway` to mount in your own app.

`app` reads TIDEGATE_CONFIG, else ./tidegate.yaml, when the server starts it. Each server process
opens a gateway of its own; they share the embedded store of one data directory.
"""

from pathlib import Path
from typing import Any, Final

from tidegate import gateway
from tidegate.config import Settings
from tidegate.edge.asgi import AsgiDoor, Receive, Scope, Send

DEFAULT_CONFIG: Final = Path("tidegate.yaml")


class Gateway(gateway.Gateway):
    """A gateway that is an ASGI application as well, for `app.mount("/", gateway)`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await AsgiDoor(self)(scope, receive, send)


def _configured() -> Gateway:
    return Gateway.from_file(Settings.read().config or DEFAULT_CONFIG)


app: Any = AsgiDoor.owning(_configured)
