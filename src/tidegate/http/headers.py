"""Header fields as they travel: an ordered list of (lower-case name, value) pairs of bytes.

A list, because most messages are read once from end to end and written once; names are lowered
when they are parsed (RFC 9110, section 5.1: names are case-insensitive), so that comparing is `==`.
Values carry no surrounding blanks.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

HeaderField = tuple[bytes, bytes]

name_of: Final = itemgetter(0)
line_of: Final = b": ".join
"""Of a field, for `map`: both run in C, so that no field costs a bytecode."""

_CR, _LF, _NUL = b"\r\n\0"

HOP_BY_HOP: Final = frozenset(
    # RFC 9110, section 7.6.1, with Proxy-* of section 11.7 and what older peers still send.
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that concern one connection and are never forwarded."""


class FieldBlock:
    """The fields of heads that were alike to the byte, and what follows from them alone.

    Who meets the same bytes again gives the message the same block, so that what one message cost
    to find out is there for the next. `notes` are by whoever took them, who must know that nobody
    has changed the fields since they arrived: they are equal to `fields` then, which takes little
    to see, as they are the same objects. The notes go when the block is forgotten.
    """

    __slots__ = ("fields", "notes")

    def __init__(self, fields: Iterable[HeaderField]) -> None:
        self.fields = list(fields)
        self.notes: dict[object, Any] = {}


class Headers(list[HeaderField]):
    """An ordered multimap of header fields. Names must be given in lower case."""

    __slots__ = ()

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of `name`, or None."""
        for field_name, value in self:
            if field_name == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Return every value of `name`, in order."""
        return [value for field_name, value in self if field_name == name]

    def remove_all(self, names: Iterable[bytes]) -> None:
        """Drop every field whose name is in `names`."""
        dropped = frozenset(names)
        self[:] = [field for field in self if field[0] not in dropped]

    def replace(self, name: bytes, value: bytes) -> None:
        """Leave exactly one field called `name`, with this value, at the end."""
        self.remove_all((name,))
        self.append((name, value))


def breaks_line(octets: bytes) -> bool:
    """Whether CR, LF or NUL in a part of a head would end its line for some reader.

    Three searches for one byte cost a tenth of counting line breaks in the finished head.
    """
    return _LF in octets or _CR in octets or _NUL in octets


def list_members(values: Iterable[bytes]) -> list[bytes]:
    """Split a list-based field (RFC 9110, section 5.6.1) into lower-case members, blanks removed.

    For fields whose members hold no quoted strings, such as Connection and Transfer-Encoding.
    """
    return [
        member.lower() for value in values for part in value.split(b",") if (member := part.strip())
    ]


def connection_options(headers: Headers) -> frozenset[bytes]:
    """Return the lower-case options that the Connection fields list (RFC 9110, section 7.6.1)."""
    return frozenset(list_members(headers.get_all(b"connection")))
