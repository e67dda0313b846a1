"""The head of an `http` scope, read by the rules of both doors (head.py).

ASGI servers check neither target nor Host, so what they have parsed is checked again. The fields
that a client repeats are sorted once; they hold keys, and a client that is gone shall leave none
behind, so all are forgotten after a moment. Every other check is made for each request.
"""

import asyncio
from itertools import chain
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from tidegate.edge.asgi_types import Scope
from tidegate.edge.head import Connection, SortedFields, read_sorted, sorted_fields
from tidegate.http import HeaderField, Request
from tidegate.http.errors import BadRequest

KEPT_S: Final = 0.5
"""As long as the native door keeps the field lines it knows, at most."""
BLOCKS_MAX: Final = 256
"""Sets of fields kept at a time."""
BLOCK_BYTES_MAX: Final = 2048
"""Of the names and values of a set that is kept: 0.5 MB in all, and as much again sorted."""

_USUAL_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HeadReader:
    """Reads the heads of one door."""

    __slots__ = ("_loop", "known")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        """Whose timer will forget what is known."""
        self.known: dict[tuple[HeaderField, ...], SortedFields] = {}
        """By the fields as they came."""

    def read(self, scope: Scope, body_bytes_max: int) -> tuple[Request[Any], Connection]:
        """Return the request of an `http` scope; raise a GatewayError if it must not be."""
        method: str = scope["method"]
        if method not in _USUAL_METHODS and method != method.upper():
            # Not every parser refuses it, and some services read `delete` as DELETE.
            raise BadRequest("The method must be in upper case")
        target: bytes = (
            scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode()
        )
        if root_path := scope.get("root_path"):
            target = _path_below(root_path, target)
        if query := scope["query_string"]:
            target = b"%b?%b" % (target, query)
        received = tuple(scope["headers"])
        try:
            fields = self.known.get(received) or self._sorted(received)
        except TypeError:
            # A server may give each field as a list (ASGI: "iterable"), which has no hash.
            fields = self._sorted(tuple((name, value) for name, value in received))
        request, connection = read_sorted(
            method, target, scope["http_version"], fields, body_bytes_max
        )
        if client := scope.get("client"):
            request.client = client[0]
        if scope.get("scheme") == "https":
            request.scheme = "https"
        return request, connection

    def _sorted(self, received: tuple[HeaderField, ...]) -> SortedFields:
        """Sort fields that were not known, and keep them while there is room."""
        known, loop = self.known, asyncio.get_running_loop()
        if loop is not self._loop:
            # Another loop: the one before has ended, and its timer with it.
            self._loop = loop
            known.clear()
        fields = sorted_fields([(name, b":", value) for name, value in received])
        octets = b"".join(chain.from_iterable(received))
        if len(known) < BLOCKS_MAX and len(octets) <= BLOCK_BYTES_MAX:
            if not known:
                loop.call_later(KEPT_S, known.clear)
            known[received] = fields
        return fields


def _path_below(root_path: str, raw: bytes) -> bytes:
    """Return the raw path below `root_path`, the prefix this application is mounted under.

    `root_path` is decoded, the raw path is not, so the two are compared segment by segment.
    """
    prefix = root_path.rstrip("/").encode("utf-8", "surrogateescape").split(b"/")
    segments = raw.split(b"/")
    if len(prefix) == 1 or len(segments) < len(prefix):
        return raw
    if any(unquote_to_bytes(s) != p for s, p in zip(segments, prefix, strict=False)):
        return raw
    return b"/" + b"/".join(segments[len(prefix) :])
