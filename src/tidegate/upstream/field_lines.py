"""From a line of an answer's head to its field, by a look-up where the same line was seen before.

A service sends the same few lines again and again, so that splitting them anew is most of what a
head costs. Only lines that llhttp has accepted may be looked up here. Kept are lines by name: those
that many answers share and that hold no secret; all others are split each time and never kept.
What a line says about framing or the connection is noted beside its field (RFC 9112, section 6).
"""

import re
from typing import Final

from tidegate.http.errors import BadGateway
from tidegate.http.framing import content_length
from tidegate.http.headers import HOP_BY_HOP, HeaderField

LINES_MAX: Final = 1024
LINE_BYTES_MAX: Final = 256
NAMES_MAX: Final = 1024
"""Bounds of what is kept; what is full is emptied, which costs each line one more split."""

IGNORED: Final = -1
"""Note of a field that ends here and says nothing: it is left out, that is all."""
SAYING: Final = -2
"""Note of a field that ends here and has to be read: the rules of RFC 9110, 7.6 decide."""

Line = tuple[HeaderField, int | None]
"""The field and its note: None if it is passed on as it is, 0 or more if it is a valid length."""

Name = tuple[bytes, bool, bool]
"""In lower case; whether such a field has a note; whether its lines are kept."""

_NOTED: Final = HOP_BY_HOP | {b"content-length", b"via"}
_REPEATED: Final = HOP_BY_HOP - {b"proxy-authenticate", b"proxy-authorization"} | {
    b"accept-ranges",
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-origin",
    b"access-control-expose-headers",
    b"access-control-max-age",
    b"age",
    b"allow",
    b"alt-svc",
    b"cache-control",
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-security-policy",
    b"content-type",
    b"cross-origin-opener-policy",
    b"cross-origin-resource-policy",
    b"date",
    b"expires",
    b"permissions-policy",
    b"pragma",
    b"referrer-policy",
    b"server",
    b"strict-transport-security",
    b"vary",
    b"via",
    b"x-content-type-options",
    b"x-frame-options",
    b"x-powered-by",
    b"x-xss-protection",
}

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class FieldLines:
    """What lines say: that of a line in `passing` is its field, in `noted` a note; else `split`."""

    __slots__ = ("_names", "noted", "passing")

    def __init__(self) -> None:
        self.passing: dict[bytes, HeaderField] = {}
        """Lines whose fields are passed on as they are. No subclass with `__missing__`: in
        Python 3.11 its look-ups cost four times as much."""
        self.noted: dict[bytes, int] = {}
        """All others that are kept, and what the reader must know about them."""
        self._names: dict[bytes, Name] = {}
        """Names as they were written, found valid."""

    def split(self, line: bytes) -> Line:
        """Split `line`, and keep it if it is one to keep; raise BadGateway if it is no field."""
        if (passing := self.passing.get(line)) is not None:
            return passing, None
        written, _, value = line.partition(b":")
        name, is_noted, is_repeated = self._names.get(written) or self._name(line, written)
        value = value.strip(b" \t")
        field = name, value
        noted = note(name, value) if is_noted else None
        if is_repeated and len(line) <= LINE_BYTES_MAX:
            self._keep(line, field, noted)
        return field, noted

    def _keep(self, line: bytes, field: HeaderField, noted: int | None) -> None:
        if len(self.passing) + len(self.noted) >= LINES_MAX:
            self.passing.clear()
            self.noted.clear()
        if noted is None:
            self.passing[line] = field
        else:
            self.noted[line] = noted

    def _name(self, line: bytes, written: bytes) -> Name:
        if len(written) == len(line) or _NAME.fullmatch(written) is None:
            raise BadGateway("its header holds a line that is no field")
        lower = written.lower()
        name = lower, lower in _NOTED, lower in _REPEATED
        if len(written) <= LINE_BYTES_MAX:
            if len(self._names) >= NAMES_MAX:
                self._names.clear()
            self._names[written] = name
        return name


def note(name: bytes, value: bytes) -> int:
    """Return what the reader of the answer must know about a field that ends here; see `Line`."""
    if name == b"content-length":
        length = content_length(value)
        return SAYING if length is None else length
    if name == b"connection":
        return IGNORED if value.lower() == b"keep-alive" else SAYING
    return SAYING if name in (b"transfer-encoding", b"via") else IGNORED
