"""Judges heads of answers, without I/O: llhttp says whether one is well-formed.

llhttp calls nobody back: where the head ends, which status it has and what its fields are is read
from the bytes it accepted. It lets odd statuses and reasons pass, so the status line has a rule of
its own. RFC 9112, sections 4 and 5. Hot: a head that comes whole is judged in one call.
"""

import re
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from tidegate.http.errors import BadGateway
from tidegate.http.headers import HeaderField
from tidegate.upstream.header_fields import via_field

HEAD_BYTES_MAX: Final = 32 * 1024
HEADER_FIELDS_MAX: Final = 100
STATUS_LINES_MAX: Final = 256
STATUS_LINE_BYTES_MAX: Final = 64

END_OF_HEAD: Final = b"\r\n\r\n"

_START: Final = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9]")
_SAMPLE: Final = b"HTTP/1.1 200"
_STATUS_LINE: Final = re.compile(
    rb"HTTP/(1\.[01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?"
)
_TOO_LARGE: Final = "its header fields exceed the bound"
_SWITCHED: Final = "it switched protocols without being asked to"

StatusLine = tuple[int, bytes | None, str, HeaderField]
"""Status, reason phrase if any, version, and the Via field that a message of it gets."""


class StatusLines:
    """`kept.get(line)`, else `read(line)`, is what a status line says: few, each read once."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: dict[bytes, StatusLine] = {}

    def read(self, line: bytes) -> StatusLine:
        """Read `line`; raise BadGateway if no answer that was asked for can begin so."""
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise BadGateway("its status line is malformed")
        if match[2] == b"101":
            raise BadGateway(_SWITCHED)
        version = match[1].decode()
        return int(match[2]), match[3] or None, version, via_field(version)

    def keep(self, line: bytes, said: StatusLine) -> None:
        """Remember a line that llhttp has accepted as well."""
        if line not in self.kept and len(line) <= STATUS_LINE_BYTES_MAX:
            if len(self.kept) >= STATUS_LINES_MAX:
                self.kept.clear()
            self.kept[line] = said


def judge(head: bytes, parser: HttpResponseParser) -> None:
    """Feed `head`, or the next part of it, to `parser`; raise BadGateway if it is malformed."""
    if len(head) > HEAD_BYTES_MAX:
        raise BadGateway(_TOO_LARGE)
    try:
        parser.feed_data(head)
    except HttpParserError as error:
        raise BadGateway(f"its header is malformed: {error}") from error


class PartialHead:
    """A head that comes in parts. Each is judged as it comes: a wrong byte is seen at once."""

    __slots__ = ("_judged", "_parser", "_received")

    def __init__(self) -> None:
        self._received = bytearray()
        self._parser: HttpResponseParser | None = None
        self._judged = 0

    def feed(self, received: bytes) -> tuple[bytes, bytes, bytes]:
        """Return all of the head, its end, and what follows it; nothing if the end is to come."""
        whole = self._received
        before = len(whole)
        whole += received
        end = whole.find(END_OF_HEAD, max(0, before - 3)) + len(END_OF_HEAD)
        is_found = end >= len(END_OF_HEAD)
        if is_found:
            del whole[end:]
        if len(whole) > HEAD_BYTES_MAX:
            raise BadGateway(_TOO_LARGE)
        if self._parser is None:
            if not _begins_well(whole):
                return b"", b"", b""
            self._parser = HttpResponseParser(None)
        judge(bytes(whole[self._judged :]), self._parser)
        self._judged = len(whole)
        if not is_found:
            return b"", b"", b""
        return bytes(whole[: -len(END_OF_HEAD)]), END_OF_HEAD, received[end - before :]


def _begins_well(received: bytearray) -> bool:
    """Return whether the start of a response is there; raise BadGateway if it is another's."""
    # What is missing is filled from a proper start.
    start = bytes(received[: len(_SAMPLE)])
    if _START.match(start + _SAMPLE[len(start) :]) is None:
        raise BadGateway("it did not answer with an HTTP/1.1 response")
    if start[9:] == b"101":
        raise BadGateway(_SWITCHED)
    return len(start) == len(_SAMPLE)
