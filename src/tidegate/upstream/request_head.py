"""The head of a request, written anew from the parsed message; nothing is copied from the wire.

This is the last place where one request could become two: the method must be a token, the target
one word, names tokens, and no CR, LF or NUL may hide in any part, whoever put it there. Framing
fields are written from the body alone. Cost: one pass over the fields; foreign parts are joined by
themselves, since three searches for one byte cost a tenth of counting line breaks in the head.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from tidegate.http.errors import BadRequest, PolicyFailed
from tidegate.http.headers import HOP_BY_HOP, HeaderField, breaks_line, line_of, name_of
from tidegate.http.message import Request

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_is_target: Final = re.compile(rb"[\x21-\x7e]+").fullmatch
_USUAL_METHODS: Final = {
    method: method.encode()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_ANNOUNCES_EMPTY_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})
"""Methods that anticipate a body: they say `Content-Length: 0` (RFC 9110, section 8.6)."""


WRITTEN_HERE: Final = HOP_BY_HOP | {b"content-length", b"expect", b"host"}
"""Fields that this writer alone decides on; a copy in the message is left out."""

_KNOWN_NAMES_MAX: Final = 1024
_KNOWN_NAMES_BYTES_MAX: Final = 1024
"""Bounds of the memory of checked names: clients choose names freely."""


HostRule = Callable[[Request, bytes], bytes]
"""From the request and the target's authority to the value of Host."""


def host_rule(setting: str, scheme: str) -> HostRule:
    """Return how Host is chosen for a service whose `host` setting is `setting`."""
    if setting == "preserve" or (not setting and scheme == "http"):
        return lambda request, authority: request.host or authority
    if setting == "target" or not setting:
        return lambda request, authority: authority
    name = setting.encode("idna") if not setting.isascii() else setting.encode()
    return lambda request, authority: name


class HeadWriter:
    """Writes heads for one service. Remembers which names, together, are written as they are."""

    def __init__(self, host: HostRule) -> None:
        self._host = host
        self._known_names: set[tuple[bytes, ...]] = set()

    def head(
        self,
        request: Request,
        authority: bytes,
        ready: bytes = b"",
        fields: list[HeaderField] | None = None,
    ) -> bytes:
        """Return request line and fields, with the blank line that ends them.

        `fields` stand for the request's own where they are given; `ready` are more of them, as
        `ready_fields` returned them. Raises BadRequest (method, target) or PolicyFailed (fields)
        before a byte is on the wire.
        """
        method = _USUAL_METHODS.get(request.method) or _checked_method(request.method)
        target = request.path if request.query is None else request.target
        is_path = target[:1] == b"/" or (target == b"*" and method == b"OPTIONS")
        if not is_path or _is_target(target) is None:
            raise BadRequest("The target cannot be sent on: it must be one path without blanks")
        if fields is None:
            fields = request.headers
        names = tuple(map(name_of, fields))
        if names not in self._known_names:
            fields = self._admitted(fields, names)
        lines = [b"host: " + self._host(request, authority), *map(line_of, fields)]
        foreign = b"".join(lines)
        if breaks_line(foreign):
            raise PolicyFailed("A header field to be sent upstream holds CR, LF or NUL")
        if request.body == b"" and method not in _ANNOUNCES_EMPTY_BODY:
            end = b"\r\n\r\n"
        else:
            end = _framing_line(request)
        block = b"\r\n".join(lines)
        return b"%b %b HTTP/1.1\r\n%b%b%b" % (method, target, block, ready, end)

    def _admitted(self, fields: list[HeaderField], names: tuple[bytes, ...]) -> list[HeaderField]:
        """Return the fields that are written; raise PolicyFailed for one that may never be sent."""
        admitted = [field for field in fields if field[0].lower() not in WRITTEN_HERE]
        if any(_TOKEN.fullmatch(name) is None for name, _ in admitted):
            raise PolicyFailed("A header field to be sent upstream has a name that is no token")
        if len(admitted) == len(fields) and sum(map(len, names)) <= _KNOWN_NAMES_BYTES_MAX:
            if len(self._known_names) >= _KNOWN_NAMES_MAX:
                self._known_names.clear()
            self._known_names.add(names)
        return admitted


def ready_fields(fields: Iterable[HeaderField]) -> bytes:
    """Return fields that many requests share as they are written, checked once for all of them.

    Raises PolicyFailed, as writing them one by one would.
    """
    fields = list(fields)
    foreign = b"".join(name + value for name, value in fields)
    if breaks_line(foreign):
        raise PolicyFailed("A header field to be sent upstream holds CR, LF or NUL")
    if any(_TOKEN.fullmatch(name) is None or name in WRITTEN_HERE for name, _ in fields):
        raise PolicyFailed("A header field to be sent upstream has a name that may not be sent")
    return b"".join(b"\r\n%b: %b" % field for field in fields)


def _checked_method(method: str) -> bytes:
    if not method.isascii() or _TOKEN.fullmatch(method.encode()) is None:
        raise BadRequest("The method is not a token")
    if method == "CONNECT":
        raise BadRequest("CONNECT asks for a tunnel, which is not offered")
    return method.encode()


def _framing_line(request: Request) -> bytes:
    """Return the field that says where the body ends (RFC 9112, section 6), and the head's end."""
    body = request.body
    if isinstance(body, bytes):
        return b"\r\ncontent-length: %d\r\n\r\n" % len(body)
    if request.content_length is not None:
        return b"\r\ncontent-length: %d\r\n\r\n" % request.content_length
    return b"\r\ntransfer-encoding: chunked\r\n\r\n"
