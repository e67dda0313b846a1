"""Reads one chunked body (RFC 9112, section 7.1) with llhttp, without I/O.

The parser shows neither chunk extensions nor where in a read the body ended, so both are decided
by counting: bytes that became no body are bounded, and what follows the body is found by the
parser starting another message or by the last bytes read. Trailers are bounded and discarded
(RFC 9110, section 6.5.1: they may be).
"""

from typing import Final

from httptools import HttpParserError, HttpResponseParser

from tidegate.http.errors import BadGateway

FRAMING_BYTES_MAX: Final = 16 * 1024
"""Bytes of a body that may be sizes, extensions and trailers, besides the share of each chunk."""

FRAMING_BYTES_PER_CHUNK: Final = 128
"""A size line of 18 bytes and two line breaks leave over 100 for an extension nobody uses."""

_END: Final = b"\r\n\r\n"
_HEAD: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
"""Puts a parser into the state in which it reads chunks; the real head was read by another."""


class ChunkedBody:
    """One body. Feed it until `is_complete`; then `has_extra` says whether bytes followed it."""

    __slots__ = (
        "_framing_bytes",
        "_framing_bytes_max",
        "_last_bytes",
        "_parser",
        "_pieces",
        "has_extra",
        "is_complete",
        "on_body",
    )

    def __init__(self) -> None:
        self.is_complete = False
        self.has_extra = False
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._framing_bytes = 0
        self._framing_bytes_max = FRAMING_BYTES_MAX
        self._last_bytes = b""
        self._parser = HttpResponseParser(self)
        self._parser.feed_data(_HEAD)

    def feed(self, received: bytes) -> list[bytes]:
        """Return the pieces of the body in `received`; raise BadGateway if they are malformed."""
        try:
            self._parser.feed_data(received)
        except HttpParserError as error:
            if not self.is_complete:
                raise BadGateway(f"a chunk of the body is malformed: {error}") from error
            self.has_extra = True
        pieces = self._pieces.copy()
        self._pieces.clear()
        self._framing_bytes += len(received) - sum(map(len, pieces))
        if self._framing_bytes > self._framing_bytes_max:
            raise BadGateway("its chunk sizes, extensions and trailers exceed the bound")
        self._last_bytes = (self._last_bytes + received[-5:])[-5:]
        if self.is_complete and not self._ends_with_body():
            self.has_extra = True
        return pieces

    def _ends_with_body(self) -> bool:
        """A body ends in one empty line; the parser skips further line breaks without a word."""
        return self._last_bytes[1:] == _END and self._last_bytes[0] not in b"\r\n"

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.has_extra = True

    def on_chunk_header(self) -> None:
        self._framing_bytes_max += FRAMING_BYTES_PER_CHUNK

    def on_message_complete(self) -> None:
        self.is_complete = True
