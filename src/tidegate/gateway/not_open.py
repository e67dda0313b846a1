"""The one mistake of who mounts a gateway: to ask it before it is open."""

from typing import Final

from tidegate.http import GatewayError

HOW: Final = (
    "the gateway is not open: write `async with gateway:` around what serves it, "
    "for FastAPI in its lifespan"
)


class GatewayNotOpen(GatewayError):
    """A request came before the gateway was opened. Who mounted it reads the answer."""

    def __init__(self, detail: str = HOW) -> None:
        super().__init__(detail)
