"""Reads responses from one connection, without I/O: where each begins, what it says, how it ends.

The parser in use (llhttp) judges heads and reads chunks; where a message ends is decided here,
because it cannot be told that a request was HEAD, sees no end of input, and lets other protocols,
odd statuses and NUL pass. So the end of a head is found by its blank line, a parser of its own is
fed exactly that, and bodies of known size are counted. RFC 9112, sections 4, 6.3 and 8.
Most small answers never come here: see plain_answers.py.
"""

from typing import Final

from httptools import HttpResponseParser

from tidegate.http.errors import BadGateway
from tidegate.http.framing import (
    Event,
    Framing,
    State,
    advance,
    plain_response_framing,
    response_framing,
)
from tidegate.http.headers import Headers, connection_options
from tidegate.http.message import Informational, Response
from tidegate.upstream.chunked_body import ChunkedBody
from tidegate.upstream.field_lines import IGNORED, FieldLines
from tidegate.upstream.header_fields import add_via
from tidegate.upstream.plain_answers import KnownLines
from tidegate.upstream.response_head import (
    END_OF_HEAD,
    HEADER_FIELDS_MAX,
    PartialHead,
    StatusLine,
    judge,
)

INFORMATIONAL_MAX: Final = 16
"""1xx heads before the answer; more is a peer that never gets to the point."""

# In Python 3.11 a member of an Enum costs 0.1 microseconds each time it is named.
_IDLE, _BODY, _DONE = State.IDLE, State.BODY, State.DONE
_NONE, _SIZED, _CHUNKED, _CLOSE = Framing.NONE, Framing.SIZED, Framing.CHUNKED, Framing.CLOSE

_AT_HEAD: Final = advance(_IDLE, Event.HEAD)
_AT_END: Final = advance(_AT_HEAD, Event.END)
_AT_REUSE: Final = advance(_AT_END, Event.REUSE)
"""Steps of the table that every response takes, looked up once; each is guarded by its state."""


class ResponseReader:
    """The reading side of a connection. `start` before each request, then `feed` what arrives.

    After `feed`, `state` tells how far the response is; `pieces` holds the body bytes that
    arrived since somebody cleared it; with BODY or beyond, the attributes of the head are valid.
    """

    __slots__ = (
        "_chunked",
        "_informational_left",
        "_known",
        "_method",
        "_on_informational",
        "_partial",
        "_remaining",
        "framing",
        "headers",
        "is_reusable",
        "length",
        "pieces",
        "reason",
        "state",
        "status",
    )

    def __init__(self, known: KnownLines) -> None:
        self._known = known
        self.state = _IDLE
        self.pieces: list[bytes] = []
        self.status = 0
        self.reason: bytes | None = None
        self.headers = Headers()
        self.framing = _NONE
        self.length: int | None = None
        self.is_reusable = True
        """Whether the next response may be read here: nothing was left unclear."""
        self._method = ""
        self._on_informational: Informational | None = None
        self._informational_left = INFORMATIONAL_MAX
        self._partial: PartialHead | None = None
        self._chunked: ChunkedBody | None = None
        self._remaining = 0

    def start(self, method: str, on_informational: Informational | None = None) -> None:
        """Expect the response to a request with `method`.

        `on_informational` is told of every 1xx but 100, which answers an expectation that is never
        sent upstream, and is forgotten with the final head: an idle connection holds no request.
        """
        if self.state is _DONE:
            self.state = _AT_REUSE
        self._method = method
        self._on_informational = on_informational
        self._informational_left = INFORMATIONAL_MAX
        self.pieces = []

    def whole(self, received: bytes) -> Response | None:
        """Return the response if `received` is all of it and a plain one; else nothing is read."""
        if self.state is not _IDLE or self._partial is not None:
            return None
        response = self._known.plain_answer(received, self._method)
        if response is not None:
            self._on_informational = None
        return response

    def feed(self, received: bytes) -> None:
        """Read on; raise BadGateway if this can be no proper response."""
        if self.state is _IDLE:
            received = self._read_heads(received)
        if not received:
            return
        if self.state is not _BODY:
            self.is_reusable = False
        elif self.framing is _SIZED and len(received) == self._remaining:
            self.pieces.append(received)
            self._remaining = 0
            self.state = _AT_END
        else:
            self._read_body(received)

    def feed_eof(self) -> bool:
        """The peer ended its side. Return whether that completed the response."""
        is_complete = self.state is _BODY and self.framing is _CLOSE
        if is_complete:
            self.state = advance(self.state, Event.END)
        self.is_reusable = False
        return is_complete

    # Heads.

    def _read_heads(self, received: bytes) -> bytes:
        """Read informational heads and the final one; return what follows the final one."""
        statuses = self._known.statuses
        while received:
            if self._partial is None:
                head, found, rest = received.partition(END_OF_HEAD)
            else:
                head, found, rest = self._partial.feed(received)
            if not found:
                if self._partial is None:
                    self._partial = PartialHead()
                    self._partial.feed(received)
                return b""
            line, *lines = head.split(b"\r\n")
            said = statuses.kept.get(line) or statuses.read(line)
            if len(lines) > HEADER_FIELDS_MAX:
                raise BadGateway("it sent more header fields than the bound")
            if self._partial is None:
                judge(head + END_OF_HEAD, HttpResponseParser(None))
            self._partial = None  # judged as it came
            statuses.keep(line, said)
            if said[0] >= 200:
                self._take_head(said, lines)
                return rest
            self._take_informational(said, lines)
            received = rest
        return b""

    def _take_head(self, said: StatusLine, lines: list[bytes]) -> None:
        status, self.reason, version, via = said
        headers = Headers()
        length = None
        is_plain = True
        for field, note in map(self._known.fields.split, lines):
            if note is None:
                headers.append(field)
            elif note >= 0 and length is None:
                length = note
            elif note != IGNORED:
                is_plain = False
        # RFC 9112, section 6.1: chunked in HTTP/1.0 is read, but the connection is not trusted.
        is_kept = version == "1.1"
        if is_plain:
            headers.append(via)
            framing = plain_response_framing(self._method, status, length)
        else:
            aside = _aside(self._known.fields, lines)
            framing, length = response_framing(self._method, status, aside)
            is_kept = _finish_fields(headers, aside, version) and is_kept
        self.status, self.headers, self.framing, self.length = status, headers, framing, length
        self.is_reusable = is_kept and framing is not _CLOSE
        self._on_informational = None
        self.state = _AT_HEAD
        if framing is _CHUNKED:
            self._chunked = ChunkedBody()
        elif framing is _SIZED and length:
            self._remaining = length
        elif framing is not _CLOSE:
            self.state = _AT_END

    def _take_informational(self, said: StatusLine, lines: list[bytes]) -> None:
        self._informational_left -= 1
        if self._informational_left < 0:
            raise BadGateway("it sent too many interim responses")
        status, _, version, _ = said
        if self._on_informational is not None and status != 100:
            headers = Headers(f for f, note in map(self._known.fields.split, lines) if note is None)
            _finish_fields(headers, _aside(self._known.fields, lines), version)
            self._on_informational(status, headers)
        self.state = advance(self.state, Event.INFORMATIONAL)

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


def _aside(fields: FieldLines, lines: list[bytes]) -> Headers:
    """Return the fields that are not passed on as they are."""
    return Headers(f for f, note in map(fields.split, lines) if note is not None)


def _finish_fields(headers: Headers, aside: Headers, version: str) -> bool:
    """Obey Connection and complete Via; return whether the peer keeps the connection."""
    options = connection_options(aside)
    headers.remove_all(options)
    if b"via" not in options:
        headers.extend(field for field in aside if field[0] == b"via")
    add_via(headers, version)
    return b"close" not in options
