"""Where requests come in and answers leave: the native door and the ASGI door.

Each parses or is handed a request, gives it to the core, and writes what comes back. No routing,
no policy, no upstream here; what both doors check stands once, in head.py.
"""

from tidegate.edge.asgi import AsgiDoor
from tidegate.edge.native import NativeServer

__all__ = ["AsgiDoor", "NativeServer"]
