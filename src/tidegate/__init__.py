"""Tidegate: an API gateway for Python teams.

`from tidegate import Gateway` gives the gateway to mount in your own ASGI app.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.asgi import Gateway

__version__ = "0.1.0"
__all__ = ["Gateway", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that commands which need no gateway start without one.
    if name == "Gateway":
        from tidegate.asgi import Gateway

        return Gateway
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
