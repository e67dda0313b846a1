"""Answers that come whole and say nothing new: read by look-ups alone, without I/O.

A service sends the same few lines again and again. Where each line of a final head was accepted by
llhttp before, none says more than the length, that once, and the body is all there, neither the
parser nor the rules of framing have anything to add: llhttp reads line by line, and has nothing to
say about lines that stay alone. Everything else is response_reader.py's. Hot: no bytecode for a
field that is passed on, and one look-up for a head that was just read: for a second, the time of
Date, most heads of a service are alike.
"""

from itertools import filterfalse
from typing import Final, NamedTuple

from tidegate.http.headers import FieldBlock, Headers
from tidegate.http.message import Response
from tidegate.upstream.field_lines import IGNORED, SAYING, FieldLines
from tidegate.upstream.response_head import END_OF_HEAD, HEADER_FIELDS_MAX, StatusLines

HEADS_MAX: Final = 256
HEAD_BYTES_MAX: Final = 1024
"""Bounds of the heads that are kept: made of kept lines, so none holds a secret."""
_BODILESS: Final = frozenset({204, 304})


class _Head(NamedTuple):
    """All that a plain head says."""

    status: int
    reason: bytes | None
    length: int
    block: FieldBlock


class KnownLines:
    """What lines of heads said, for all connections of a pool: it does not depend on which."""

    __slots__ = (
        "_field_of",
        "_heads",
        "_is_passing",
        "_note_of",
        "_status_of",
        "fields",
        "statuses",
    )

    def __init__(self) -> None:
        self.fields = FieldLines()
        self.statuses = StatusLines()
        self._heads: dict[bytes, _Head] = {}
        self._status_of = self.statuses.kept.get
        self._field_of = self.fields.passing.get
        self._is_passing = self.fields.passing.__contains__
        self._note_of = self.fields.noted.get

    def plain_answer(self, received: bytes, method: str) -> Response | None:
        """Return the answer to `method` if `received` is a plain one and nothing else."""
        octets, end, body = received.partition(END_OF_HEAD)
        head = self._heads.get(octets)
        if head is None and end:
            head = self._read(octets)
        if head is None or not end or method == "HEAD":
            return None
        status, reason, length, block = head
        if length != len(body):
            return None
        response = Response(status, Headers(block.fields), body)
        response.block = block
        response.content_length, response.reason = length, reason  # keywords cost more
        return response

    def _read(self, octets: bytes) -> _Head | None:
        """Read a head by its lines, and keep it; None if it is not a plain one."""
        line, *lines = octets.split(b"\r\n")
        said = self._status_of(line)
        if said is None or len(lines) > HEADER_FIELDS_MAX:
            return None
        status, reason, version, via = said
        if status < 200 or status in _BODILESS or version != "1.1":
            return None
        length = None
        for note in map(self._note_of, filterfalse(self._is_passing, lines)):
            if note == IGNORED:
                continue
            if note is None or note == SAYING or length is not None:
                return None
            length = note
        if length is None:
            return None
        fields = (*filter(None, map(self._field_of, lines)), via)
        head = _Head(status, reason, length, FieldBlock(fields))
        if len(octets) <= HEAD_BYTES_MAX:
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[octets] = head
        return head
