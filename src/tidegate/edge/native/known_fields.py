"""Field lines that were checked a moment ago: what a client sends again need not be read again.

Most requests of a client differ in the request line at most. Where all that follows the line has
the same bytes as in a head that llhttp and `read_head` passed, they would say the same of it: for
a plain line, the one kind taken here, neither looks at the line to judge the fields. Kept are only
fields that say nothing about a body or the end of the connection. All is forgotten with each sweep
of the door: fields hold keys and queries hold tokens, and a client that is gone shall leave none
behind.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from tidegate.http import Headers, Request
from tidegate.http.errors import BadRequest
from tidegate.http.headers import FieldBlock, HeaderField
from tidegate.http.target import parse_target

HEAD_BYTES_MAX: Final = 2048
"""Larger heads are read anew each time."""
BLOCKS_MAX: Final = 256
"""Blocks of fields kept between two sweeps: at most 0.5 MB of bytes, and as much again parsed."""
LINE_BYTES_MAX: Final = 256
"""Of a request line that is remembered or looked up; shorter where the bound of targets is."""
LINES_MAX: Final = 1024
"""Request lines kept between two sweeps; further ones are read anew each time."""

PlainLine = tuple[str, bytes, bytes, bytes | None]
"""Method, host, path and query."""

_PLAIN_LINE: Final = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]*) HTTP/1\.1"
)
"""Part of what both readers of a head take: a usual method, a path, the present version."""


class KnownFields:
    """Blocks of field lines, with the empty line that ends them, and the fields they hold."""

    __slots__ = ("_blocks", "_line_bytes_max", "_lines", "head_bytes_max")

    def __init__(self, header_bytes: int, target_bytes: int) -> None:
        """Both are the door's bounds, which hold here as well."""
        self.head_bytes_max = min(HEAD_BYTES_MAX, header_bytes)
        self._line_bytes_max = min(LINE_BYTES_MAX, target_bytes)
        self._blocks: dict[bytes, FieldBlock] = {}
        """Host is the last of the fields."""
        self._lines: dict[tuple[bytes, bytes], PlainLine] = {}
        """By line and Host."""

    def request_of(self, octets: bytes, client: str) -> Request[Any] | None:
        """Return the request if `octets` are one head with known fields, else None.

        Whoever uses it passes the parser by: it stands between two messages, and would again after
        this one, which has no body.
        """
        line, _, block = octets.partition(b"\r\n")
        known = self._blocks.get(block)
        if known is None or len(line) > self._line_bytes_max:
            return None
        fields = known.fields
        host_field = fields[-1][1]
        plain = self._lines.get((line, host_field)) or self._read(line, host_field)
        if plain is None:
            return None
        method, host, path, query = plain
        request: Request[Any] = Request(method, path, Headers(fields))
        request.block = known
        request.host, request.query, request.client = host, query, client  # keywords cost more
        return request

    def keep(self, head: bytes, fields: Iterable[HeaderField]) -> None:
        """Keep the fields of a head that was passed and says nothing about the connection."""
        if len(self._blocks) >= BLOCKS_MAX or len(head) > self.head_bytes_max:
            return
        line, _, block = head.partition(b"\r\n")
        fields = tuple(fields)
        if len(line) <= self._line_bytes_max and self._read(line, fields[-1][1]) is not None:
            self._blocks[block] = FieldBlock(fields)

    def forget(self) -> None:
        self._blocks.clear()
        self._lines.clear()

    def _read(self, line: bytes, host: bytes) -> PlainLine | None:
        """Return what a plain request line asks for, sent with this Host, and keep it while there
        is room; None for any other line.
        """
        match = _PLAIN_LINE.fullmatch(line)
        if match is None:
            return None
        try:
            plain = match[1].decode(), *parse_target(match[2], [host], "1.1")
        except BadRequest:
            return None
        if len(self._lines) < LINES_MAX:
            self._lines[line, host] = plain
        return plain
