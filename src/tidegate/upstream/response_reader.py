"""Reads responses from one connection, without I/O: where each begins, what it says, how it ends.

The parser in use (llhttp) judges heads and reads chunks; where a message ends is decided here,
because it cannot be told that a request was HEAD, sees no end of input, and lets other protocols,
odd statuses and NUL pass. So the end of a head is found by its blank line, a parser of its own is
fed exactly that, and bodies of known size are counted. RFC 9112, sections 4, 6.3 and 8.
A final head is not judged again if each of its lines was accepted before and none says more than
the length, once: llhttp reads line by line, and has nothing to say about lines that stay alone.
Hot: a small answer is one search, a look-up for each line, and one slice.
"""

from itertools import filterfalse
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
from tidegate.http.message import Informational
from tidegate.upstream.chunked_body import ChunkedBody
from tidegate.upstream.field_lines import IGNORED, FieldLines
from tidegate.upstream.header_fields import add_via
from tidegate.upstream.response_head import (
    END_OF_HEAD,
    PartialHead,
    StatusLine,
    StatusLines,
    judge,
)

HEADER_FIELDS_MAX: Final = 100
INFORMATIONAL_MAX: Final = 16
"""1xx heads before the answer; more is a peer that never gets to the point."""

# In Python 3.11 a member of an Enum costs 0.1 microseconds each time it is named.
_IDLE, _BODY, _DONE = State.IDLE, State.BODY, State.DONE
_NONE, _SIZED, _CHUNKED, _CLOSE = Framing.NONE, Framing.SIZED, Framing.CHUNKED, Framing.CLOSE

_AT_HEAD: Final = advance(_IDLE, Event.HEAD)
_AT_END: Final = advance(_AT_HEAD, Event.END)
_AT_REUSE: Final = advance(_AT_END, Event.REUSE)
"""Steps of the table that every response takes, looked up once; each is guarded by its state."""

_FIELD_LINES: Final = FieldLines()
_STATUS_LINES: Final = StatusLines()
_known_field: Final = _FIELD_LINES.passing.get
_is_passing: Final = _FIELD_LINES.passing.__contains__
_known_note: Final = _FIELD_LINES.noted.get
_known_status: Final = _STATUS_LINES.kept.get
"""For all connections of the worker: what a line says does not depend on who sent it."""


class ResponseReader:
    """The reading side of a connection. `start` before each request, then `feed` what arrives.

    After `feed`, `state` tells how far the response is; `pieces` holds the body bytes that
    arrived since somebody cleared it; with BODY or beyond, the attributes of the head are valid.
    """

    __slots__ = (
        "_chunked",
        "_informational_left",
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

    def __init__(self) -> None:
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
            lines = head.split(b"\r\n")
            line = lines.pop(0)
            known = _known_status(line)
            said = _STATUS_LINES.read(line) if known is None else known
            if len(lines) > HEADER_FIELDS_MAX:
                raise BadGateway("it sent more header fields than the bound")
            notes = list(map(_known_note, filterfalse(_is_passing, lines)))
            if self._partial is not None:
                self._partial = None  # judged as it came
                is_judged = True
            elif is_judged := known is None or said[0] < 200 or None in notes:
                judge(head + END_OF_HEAD, HttpResponseParser(None))
            if known is None:
                _STATUS_LINES.keep(line, said)
            if said[0] >= 200:
                if not self._take_head(said, lines, notes) and not is_judged:
                    # Together, such lines may contradict each other.
                    judge(head + END_OF_HEAD, HttpResponseParser(None))
                return rest
            self._take_informational(said, lines)
            received = rest
        return b""

    def _take_head(self, said: StatusLine, lines: list[bytes], notes: list[int | None]) -> bool:
        """Take a final head; return whether it is plain. `notes` are those of the lines that are
        not passed on as they are, None of one that is not known.
        """
        status, self.reason, version, via = said
        if None in notes:
            headers, notes = _split(lines)
        else:
            headers = Headers(filter(None, map(_known_field, lines)))
        length = None
        is_plain = True
        for note in notes:
            if note is None or note == IGNORED:
                continue
            if note >= 0 and length is None:
                length = note
            else:
                is_plain = False
        # RFC 9112, section 6.1: chunked in HTTP/1.0 is read, but the connection is not trusted.
        is_kept = version == "1.1"
        if is_plain:
            headers.append(via)
            framing = plain_response_framing(self._method, status, length)
        else:
            aside = _aside(lines)
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
        return is_plain

    def _take_informational(self, said: StatusLine, lines: list[bytes]) -> None:
        self._informational_left -= 1
        if self._informational_left < 0:
            raise BadGateway("it sent too many interim responses")
        status, _, version, _ = said
        if self._on_informational is not None and status != 100:
            headers = Headers(f for f, note in map(_FIELD_LINES.split, lines) if note is None)
            _finish_fields(headers, _aside(lines), version)
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


def _split(lines: list[bytes]) -> tuple[Headers, list[int | None]]:
    """Return the fields that are passed on, and the notes of the others."""
    headers = Headers()
    notes: list[int | None] = []
    for field, note in map(_FIELD_LINES.split, lines):
        if note is None:
            headers.append(field)
        else:
            notes.append(note)
    return headers, notes


def _aside(lines: list[bytes]) -> Headers:
    """Return the fields that are not passed on as they are."""
    return Headers(f for f, note in map(_FIELD_LINES.split, lines) if note is not None)


def _finish_fields(headers: Headers, aside: Headers, version: str) -> bool:
    """Obey Connection and complete Via; return whether the peer keeps the connection."""
    options = connection_options(aside)
    headers.remove_all(options)
    if b"via" not in options:
        headers.extend(field for field in aside if field[0] == b"via")
    add_via(headers, version)
    return b"close" not in options
