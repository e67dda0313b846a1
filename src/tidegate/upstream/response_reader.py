"""Reads responses from one connection, without I/O: where each begins, what it says, how it ends.

The parser in use (llhttp) reads heads and chunks; where a message ends is decided here, because
it cannot be told that a request was HEAD, sees no end of input, and lets other protocols, odd
statuses and NUL pass. So the end of a head is found by its blank line, the parser is fed exactly
that, and bodies of known size are counted. Each final head gets a parser of its own.
RFC 9112, sections 4, 6.3 and 8. Hot: a small answer is one search, one parse and one slice.
"""

import re
from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from tidegate.http.errors import BadGateway
from tidegate.http.framing import Event, Framing, State, advance, response_framing
from tidegate.http.headers import HOP_BY_HOP, Headers, connection_options
from tidegate.upstream.chunked_body import ChunkedBody
from tidegate.upstream.header_fields import add_via, via_field

HEAD_BYTES_MAX: Final = 32 * 1024
HEADER_FIELDS_MAX: Final = 100
INFORMATIONAL_MAX: Final = 16
"""1xx heads before the answer; more is a peer that never gets to the point."""

Informational = Callable[[int, Headers], None]
"""Is told of every 1xx but 100, which answers an expectation that is never sent upstream."""

# In Python 3.11 a member of an Enum costs 0.1 microseconds each time it is named.
_IDLE, _BODY, _DONE = State.IDLE, State.BODY, State.DONE
_SIZED, _CHUNKED, _CLOSE = Framing.SIZED, Framing.CHUNKED, Framing.CLOSE

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])")
_SAMPLE: Final = b"HTTP/1.1 200"
_END_OF_HEAD: Final = b"\r\n\r\n"
_NOT_IN_REASON: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SET_ASIDE: Final = HOP_BY_HOP | {b"content-length", b"via"}


class ResponseReader:
    """The reading side of a connection. `start` before each request, then `feed` what arrives.

    After `feed`, `state` tells how far the response is; `pieces` holds the body bytes that
    arrived since somebody cleared it; with BODY or beyond, the attributes of the head are valid.
    """

    __slots__ = (
        "_chunked",
        "_head_bytes",
        "_informational_left",
        "_last_bytes",
        "_method",
        "_on_informational",
        "_parser",
        "_remaining",
        "_set_aside",
        "_start",
        "_version",
        "framing",
        "headers",
        "is_reusable",
        "length",
        "pieces",
        "reason",
        "state",
        "status",
    )

    def __init__(self) -> None:
        self.state = _IDLE
        self.pieces: list[bytes] = []
        self.status = 0
        self.reason = b""
        self.headers = Headers()
        self.framing = Framing.NONE
        self.length: int | None = None
        self.is_reusable = True
        """Whether the next response may be read here: nothing was left unclear."""
        self._set_aside = Headers()
        self._method = ""
        self._on_informational: Informational | None = None
        self._informational_left = 0
        self._chunked: ChunkedBody | None = None
        self._remaining = 0
        self._begin_head()

    def start(self, method: str, on_informational: Informational | None = None) -> None:
        """Expect the response to a request with `method`."""
        if self.state is _DONE:
            self.state = advance(_DONE, Event.REUSE)
            self._begin_head()
        self._method = method
        self._on_informational = on_informational
        self._informational_left = INFORMATIONAL_MAX
        self.pieces = []

    def feed(self, received: bytes) -> None:
        """Read on; raise BadGateway if this can be no proper response."""
        if self.state is _IDLE:
            received = self._read_heads(received)
        if not received:
            return
        if self.state is _BODY:
            self._read_body(received)
        else:
            self.is_reusable = False

    def feed_eof(self) -> bool:
        """The peer ended its side. Return whether that completed the response."""
        is_complete = self.state is _BODY and self.framing is _CLOSE
        if is_complete:
            self.state = advance(self.state, Event.END)
        self.is_reusable = False
        return is_complete

    # Heads.

    def _begin_head(self) -> None:
        self._parser: HttpResponseParser | None = None
        self._start = b""
        self._last_bytes = b""
        self._head_bytes = 0
        self.reason = b""
        self.headers = Headers()
        self._set_aside = Headers()

    def _read_heads(self, received: bytes) -> bytes:
        """Read informational heads and the final one; return what follows the final one."""
        while received:
            parser = self._parser
            if parser is None:
                if self._start:
                    received = self._start + received
                line = _STATUS_LINE.match(received)
                if line is None:
                    self._start = _start_of_response(received)
                    return b""
                self._version = "1.1" if line[1] == b"1" else "1.0"
                self.status = int(line[2])
                if self.status == 101:
                    raise BadGateway("it switched protocols without being asked to")
                parser = self._parser = HttpResponseParser(self)
            seam = self._last_bytes + received
            end = seam.find(_END_OF_HEAD)
            if end < 0:
                self._feed_head(parser, received)
                self._last_bytes = seam[-3:]
                return b""
            cut = end + 4 - len(self._last_bytes)
            self._feed_head(parser, received[:cut])
            received = received[cut:]
            if self.status >= 200:
                self._finish_head()
                return received
            self._finish_informational()
        return b""

    def _feed_head(self, parser: HttpResponseParser, received: bytes) -> None:
        self._head_bytes += len(received)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise BadGateway("its header fields exceed the bound")
        try:
            parser.feed_data(received)
        except HttpParserError as error:
            raise BadGateway(f"its header is malformed: {error}") from error

    def _finish_informational(self) -> None:
        self._informational_left -= 1
        if self._informational_left < 0:
            raise BadGateway("it sent too many interim responses")
        if self._on_informational is not None and self.status != 100:
            self._on_informational(self.status, self._end_to_end())
        self.state = advance(self.state, Event.INFORMATIONAL)
        self._begin_head()

    def _finish_head(self) -> None:
        if self.reason and _NOT_IN_REASON.search(self.reason) is not None:
            raise BadGateway("its reason phrase holds a control character")
        self.framing, self.length = response_framing(self._method, self.status, self._set_aside)
        # RFC 9112, section 6.1: chunked in HTTP/1.0 is read, but the connection is not trusted.
        self.is_reusable = self._version == "1.1" and self.framing is not _CLOSE
        self.headers = self._end_to_end()
        self.state = advance(self.state, Event.HEAD)
        if self.framing is _SIZED:
            self._remaining = self.length or 0
            if self._remaining:
                return
        elif self.framing is _CHUNKED:
            self._chunked = ChunkedBody()
            return
        elif self.framing is _CLOSE:
            return
        self.state = advance(self.state, Event.END)

    def _end_to_end(self) -> Headers:
        """Return the fields to pass on: without hop-by-hop ones, with our mark in Via."""
        headers, aside = self.headers, self._set_aside
        if len(headers) + len(aside) > HEADER_FIELDS_MAX:
            raise BadGateway("it sent more header fields than the bound")
        is_via_kept = True
        for name, value in aside:
            if name == b"connection" and value.lower() != b"keep-alive":
                is_via_kept = self._obey(connection_options(aside))
                break
        for field in aside:
            if field[0] == b"via" and is_via_kept:
                headers.extend(field for field in aside if field[0] == b"via")
                add_via(headers, self._version)
                return headers
        headers.append(via_field(self._version))
        return headers

    def _obey(self, options: frozenset[bytes]) -> bool:
        """Do what Connection says; return whether Via was spared."""
        if b"close" in options:
            self.is_reusable = False
        self.headers.remove_all(options)
        return b"via" not in options

    # Bodies.

    def _read_body(self, received: bytes) -> None:
        if self.framing is _SIZED:
            if len(received) > self._remaining:
                received = received[: self._remaining]
                self.is_reusable = False
            self.pieces.append(received)
            self._remaining -= len(received)
            if self._remaining:
                return
        elif self._chunked is None:  # delimited by close
            self.pieces.append(received)
            return
        else:
            self.pieces += self._chunked.feed(received)
            if not self._chunked.is_complete:
                return
            if self._chunked.has_extra:
                self.is_reusable = False
            self._chunked = None
        self.state = advance(self.state, Event.END)

    # What the parser calls.

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _SET_ASIDE:
            self._set_aside.append((name, value.strip(b" \t")))
        else:
            self.headers.append((name, value.strip(b" \t")))


def _start_of_response(received: bytes) -> bytes:
    """Return `received` if a response can begin so but more is needed to tell; else raise."""
    # What is missing is filled from a proper start, so that a wrong byte is seen at once.
    if _STATUS_LINE.match(received + _SAMPLE[len(received) :]) is None:
        raise BadGateway("it did not answer with an HTTP/1.1 response")
    return received
