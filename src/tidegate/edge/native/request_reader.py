"""Turns bytes into requests with llhttp, and refuses what the parser lets through.

The parser cannot pause, hides chunk extensions and is lenient about the request line, so it is
fed in slices that end where a head ends: one slice never holds two requests, head bytes are
counted exactly, and the raw head is at hand (RFC 9112, sections 2 to 7). The parser judges a head;
its fields are then split off the same bytes, because a callback per field costs more.
"""

from typing import Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from tidegate.edge.head import is_usual, read_head
from tidegate.edge.native.body import RequestBody
from tidegate.edge.native.chunk_allowance import ChunkAllowance
from tidegate.edge.native.exchange import Exchange, Wire
from tidegate.edge.native.slices import Slices
from tidegate.edge.native.state import DoorState
from tidegate.http import GatewayError
from tidegate.http.errors import (
    BadRequest,
    ContentTooLarge,
    HeadersTooLarge,
    TargetTooLong,
    VersionNotSupported,
)
from tidegate.http.framing import Framing

EMPTY_LINE_BYTES_MAX: Final = 4
"""Line breaks ignored ahead of a request line (RFC 9112, section 2.2)."""
_LINE_BYTES_BESIDES_TARGET: Final = 64
_VERSIONS: Final = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_NO_SUCH_VERSION: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")
"""What llhttp says of HTTP/1.2, 3.0 and the preface of HTTP/2."""

_NONE: Final = Framing.NONE


class Sink(Wire, Protocol):
    """The connection, as its reader sees it."""

    client: str

    def request_begun(self, exchange: Exchange) -> None:
        """A head is read; the body, if there is one, is still to come."""

    def last_request_read(self) -> None:
        """Nothing after this is a request: the client said so."""

    def input_refused(self) -> None:
        """Nothing after this can be understood, and more of it may be on its way."""


class RequestReader:
    """`exchange` is the one whose body is being read, `head_bytes` the part of a head so far."""

    __slots__ = (
        "_allowance",
        "_body",
        "_door",
        "_empty_line_bytes",
        "_head",
        "_is_chunked",
        "_is_complete",
        "_parser",
        "_remaining",
        "_sink",
        "_slices",
        "exchange",
        "head_bytes",
    )

    def __init__(self, door: DoorState, sink: Sink) -> None:
        self._door = door
        self._sink = sink
        self._parser = HttpRequestParser(self)
        self.exchange: Exchange | None = None
        self.head_bytes = 0
        self._head = b""
        self._empty_line_bytes = 0
        self._slices = Slices()
        self._body: RequestBody | None = None
        self._is_complete = False
        self._is_chunked = False
        self._remaining = 0
        self._allowance = ChunkAllowance()

    # What the connection calls.

    def feed(self, buffer: bytes | bytearray, view: memoryview, position: int, end: int) -> int:
        """Read from `position` on, at most one head or one body; return where it stopped."""
        if self._body is not None:
            return self._feed_body(self._body, buffer, view, position, end)
        return self._feed_head(buffer, view, position, end)

    @property
    def is_between_requests(self) -> bool:
        """Whether the next byte is the first of a request line."""
        return not self.head_bytes and self._body is None and not self._empty_line_bytes

    def refuse(self, error: GatewayError) -> None:
        """Nothing more can be read: let the request this concerns be answered with `error`."""
        self._sink.input_refused()
        exchange = self.exchange
        if exchange is None:
            exchange = Exchange(self._door, self._sink, None)
            exchange.failure = error
            self._sink.request_begun(exchange)
            return
        exchange.closes = True
        if exchange.task is None:
            exchange.failure = error
        self.abandon(error)

    def abandon(self, error: GatewayError) -> None:
        """No more of the body being read will come: whoever pulls it meets `error`."""
        if self._body is not None:
            self._body.fail(error)
        self.exchange = self._body = None

    # What the parser calls.

    def on_body(self, piece: bytes) -> None:
        if self._body is not None:
            self._body.feed(piece)

    def on_chunk_header(self) -> None:
        self._allowance.chunks += 1

    def on_message_complete(self) -> None:
        self._is_complete = True

    # Heads.

    def _feed_head(
        self, buffer: bytes | bytearray, view: memoryview, position: int, end: int
    ) -> int:
        if not self.head_bytes and buffer[position] in b"\r\n":
            return self._skip_empty_line(position)
        boundary = self._slices.boundary(buffer, position, end)
        stop = boundary or end
        overflow = self.head_bytes + stop - position - self._door.bounds.header_bytes
        if overflow > 0:
            stop -= overflow
        octets = bytes(view[position:stop])
        self._head = head = self._head + octets if self._head else octets
        try:
            self._parser.feed_data(octets)
        except HttpParserUpgrade:
            pass  # no protocol but HTTP/1 is spoken here: the request is answered as plain
        except HttpParserError as error:
            self.refuse(_refusal(error))
            return stop
        if boundary and overflow <= 0:
            self._head_read(head)
            return stop
        self.head_bytes = len(head)
        self._slices.cut_at(view, position, stop)
        if overflow > 0 or self._is_line_too_long():
            self.refuse(self._too_large())
        return stop

    def _skip_empty_line(self, position: int) -> int:
        self._empty_line_bytes += 1
        if self._empty_line_bytes > EMPTY_LINE_BYTES_MAX:
            self.refuse(BadRequest("The request begins with too many empty lines"))
        return position + 1

    def _is_line_too_long(self) -> bool:
        """Whether the request line has passed its bound before it has come to its end."""
        line_bytes_max = self._door.bounds.target_bytes + _LINE_BYTES_BESIDES_TARGET
        return len(self._head) > line_bytes_max and self._head.find(b"\r\n", 0, line_bytes_max) < 0

    def _too_large(self) -> GatewayError:
        bounds = self._door.bounds
        if self._is_line_too_long():
            return TargetTooLong(f"The target may hold at most {bounds.target_bytes} bytes")
        return HeadersTooLarge(f"The head may hold at most {bounds.header_bytes} bytes")

    def _head_read(self, head: bytes) -> None:
        is_complete, self._is_complete = self._is_complete, False
        self._head = b""
        self._empty_line_bytes = self.head_bytes = 0
        self._slices.restart()
        try:
            exchange = self._exchange(head, is_complete)
        except GatewayError as error:
            self.refuse(error)
            return
        self._sink.request_begun(exchange)
        if exchange.body is not None:
            self.exchange = exchange
            self._body = exchange.body
        elif exchange.closes:
            self._sink.last_request_read()

    def _exchange(self, head: bytes, is_complete: bool) -> Exchange:
        """Return the exchange that `head` begins; raise a GatewayError if it must not.

        The parser has passed every byte of it, in its strict mode: lines end in CRLF and nothing
        else does, none is folded, each field has a name and a colon. So splitting reads it alike.
        (The one LF it lets through ends a line without a version, and is no part of a target.)
        """
        door = self._door
        bounds = door.bounds
        line, *lines = head[:-4].split(b"\r\n")
        parts = line.split(b" ")
        if len(parts) != 3:
            raise BadRequest("The request line must be method, target and version, one space apart")
        method, target, protocol = parts
        http_version = _VERSIONS.get(protocol)
        if http_version is None:
            if protocol[:5] == b"HTTP/":
                raise VersionNotSupported("Only HTTP/1.1 and HTTP/1.0 are spoken here")
            raise BadRequest("The request is not of HTTP")
        if len(target) > bounds.target_bytes:
            raise TargetTooLong(f"The target may hold at most {bounds.target_bytes} bytes")
        if len(lines) > bounds.header_fields:
            raise HeadersTooLarge(f"The head may hold at most {bounds.header_fields} fields")
        request, connection = read_head(
            method.decode("ascii"),
            target,
            http_version,
            [field.partition(b":") for field in lines],
            door.body_bytes_max,
        )
        framing, options, expects_continue = connection
        has_body = framing is not _NONE and request.content_length != 0
        if is_complete is has_body:
            raise BadRequest("The end of the body cannot be told")
        if http_version == "1.1" and is_usual(connection):  # so there is a Host
            door.known_fields.keep(head, request.headers)
        request.client = self._sink.client
        exchange = Exchange(door, self._sink, request)
        exchange.head_bytes = len(head)
        if options or http_version == "1.0":
            exchange.closes = b"close" in options or (
                http_version == "1.0" and b"keep-alive" not in options
            )
        if not has_body:
            return exchange
        self._is_chunked = framing is Framing.CHUNKED
        self._remaining = request.content_length or 0
        self._allowance.restart()
        exchange.body = RequestBody(self._sink, expects_continue=expects_continue)
        return exchange

    # Bodies.

    def _feed_body(
        self,
        body: RequestBody,
        buffer: bytes | bytearray,
        view: memoryview,
        position: int,
        end: int,
    ) -> int:
        if self._is_chunked:
            # A chunked body ends in an empty line: so may a slice, and then it holds nothing else.
            stop = self._slices.boundary(buffer, position, end) or end
            self._slices.cut_at(view, position, stop)
        else:
            stop = min(end, position + self._remaining)
            self._remaining -= stop - position
        received_before = body.received_bytes
        try:
            self._parser.feed_data(view[position:stop])
        except HttpParserError:
            self.refuse(BadRequest("The body is not validly chunked"))
            return stop
        if self._is_chunked:
            self._check_chunks(body, stop - position, body.received_bytes - received_before)
        if self._is_complete:
            self._body_read()
        return stop

    def _check_chunks(self, body: RequestBody, fed: int, received: int) -> None:
        if self._allowance.excess_bytes(fed, received) > self._door.bounds.header_bytes:
            self.refuse(BadRequest("The chunks carry too much besides the body"))
        elif body.received_bytes > self._door.body_bytes_max:
            self.refuse(
                ContentTooLarge(f"The body may hold at most {self._door.body_bytes_max} bytes here")
            )

    def _body_read(self) -> None:
        exchange, body = self.exchange, self._body
        self.exchange = self._body = None
        self._is_complete = False
        self._slices.restart()
        if body is not None:
            body.complete()
        if exchange is not None and exchange.closes:
            self._sink.last_request_read()


def _refusal(error: HttpParserError) -> GatewayError:
    if str(error) in _NO_SUCH_VERSION:
        return VersionNotSupported("Only HTTP/1.1 and HTTP/1.0 are spoken here")
    return BadRequest("The request cannot be parsed")
