"""The native door: HTTP/1.1 straight from the socket, for `tidegate serve`."""

from tidegate.edge.native.server import NativeServer

__all__ = ["NativeServer"]
