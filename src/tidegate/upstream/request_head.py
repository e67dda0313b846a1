"""The head of a request, written anew from the parsed message; nothing is copied from the wire.

This is the last place where one request could become two: the method must be a token, the target
one word, names tokens, and no CR, LF or NUL may hide in any part, whoever put it there. Framing
fields are written from the body alone. Cost: one pass over the names and three scans of the head.
"""

import re
from collections.abc import Callable
from typing import Final

from tidegate.http.errors import BadRequest, PolicyFailed
from tidegate.http.headers import HOP_BY_HOP, Headers
from tidegate.http.message import Request

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_USUAL_METHODS: Final = {
    method: method.encode()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_ANNOUNCES_EMPTY_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods that anticipate a body: they say `Content-Length: 0` (RFC 9110, section 8.6)."""

_WRITTEN_HERE: Final = HOP_BY_HOP | {b"content-length", b"expect", b"host"}
"""Fields that this writer alone decides on; a copy in the message is left out."""

_KNOWN_NAMES_MAX: Final = 1024
"""Bounds the memory of checked names: clients choose names freely."""

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
    """Writes heads for one service. Remembers names it has found valid."""

    def __init__(self, host: HostRule) -> None:
        self._host = host
        self._known_names: set[bytes] = set()

    def head(self, request: Request, authority: bytes) -> bytes:
        """Return request line and fields, with the blank line that ends them.

        Raises BadRequest (method, target) or PolicyFailed (fields) before a byte is on the wire.
        """
        method = _USUAL_METHODS.get(request.method) or _checked_method(request.method)
        target = request.target
        is_path = target[:1] == b"/" or (target == b"*" and method == b"OPTIONS")
        if not is_path or _TARGET.fullmatch(target) is None:
            raise BadRequest("The target cannot be sent on: it must be one path without blanks")
        headers = request.headers
        known = self._known_names
        # The list, not any(): every name must be looked at, also behind one that is left out.
        left_out = [name for name, _ in headers if name not in known and not self._admit(name)]
        kept = _without_own(headers) if left_out else headers
        lines = [b"%b %b HTTP/1.1" % (method, target)]
        lines.append(b"host: " + self._host(request, authority))
        lines += map(b": ".join, kept)
        if (framing := _framing_line(request)) is not None:
            lines.append(framing)
        head = b"\r\n".join(lines)
        breaks = len(lines) - 1
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
            raise PolicyFailed("A header field to be sent upstream holds CR, LF or NUL")
        return head + b"\r\n\r\n"

    def _admit(self, name: bytes) -> bool:
        """Return whether the field may be sent as it is; raise PolicyFailed if it never may."""
        if name.lower() in _WRITTEN_HERE:
            return False
        if _TOKEN.fullmatch(name) is None:
            raise PolicyFailed("A header field to be sent upstream has a name that is no token")
        if len(self._known_names) < _KNOWN_NAMES_MAX:
            self._known_names.add(name)
        return True


def _without_own(headers: Headers) -> Headers:
    return Headers(field for field in headers if field[0].lower() not in _WRITTEN_HERE)


def _checked_method(method: str) -> bytes:
    if not method.isascii() or _TOKEN.fullmatch(method.encode()) is None:
        raise BadRequest("The method is not a token")
    if method == "CONNECT":
        raise BadRequest("CONNECT asks for a tunnel, which is not offered")
    return method.encode()


def _framing_line(request: Request) -> bytes | None:
    """Return the one field that says where the body ends (RFC 9112, section 6), if it has one."""
    body = request.body
    if isinstance(body, bytes):
        if body or request.method in _ANNOUNCES_EMPTY_BODY:
            return b"content-length: %d" % len(body)
        return None
    if request.content_length is not None:
        return b"content-length: %d" % request.content_length
    return b"transfer-encoding: chunked"
