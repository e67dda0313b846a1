"""The head of a request, checked and turned into a Request: the one reading both doors share.

A parser, ours or an ASGI server's, has split the bytes; what it let through is refused here:
targets and hosts (http/target.py), framing that two readers might understand differently
(http/framing.py), expectations nobody can meet (RFC 9110, section 10.1.1), methods that are not
a gateway's. Fields that concern one connection end here. Hot: one pass over the fields.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from tidegate.http import HeaderField, Headers, Request
from tidegate.http.errors import BadRequest, ExpectationFailed, MethodNotImplemented
from tidegate.http.framing import Framing, request_framing
from tidegate.http.headers import HOP_BY_HOP, list_members
from tidegate.http.target import Target, parse_target

_BLANKS: Final = b" \t"
_NOT_FORWARDED: Final = HOP_BY_HOP | {b"content-length", b"expect"}
_WATCHED: Final = _NOT_FORWARDED | {b"host"}
_OF_NO_FIELD: Final = frozenset({b"close", b"keep-alive", b"upgrade"})
"""Options of Connection that name no end-to-end field."""
_TARGET_KEPT_BYTES_MAX: Final = 256


class Head:
    """What the head of one request says. `options` are those of its Connection fields."""

    __slots__ = ("expects_continue", "framing", "options", "request")

    def __init__(self, request: Request[Any], framing: Framing, options: list[bytes]) -> None:
        self.request = request
        self.framing = framing
        self.options = options
        self.expects_continue = False


def read_head(
    method: str,
    target: bytes,
    http_version: str,
    fields: Iterable[HeaderField],
    body_bytes_max: int,
) -> Head:
    """Return the head if it can be read in one way only; raise a GatewayError if not."""
    headers = Headers()
    watched = Headers()
    keep = headers.append
    for name, value in fields:
        name = name.lower()
        if name in _WATCHED:
            watched.append((name, value.strip(_BLANKS)))
        else:
            keep((name, value.strip(_BLANKS)))
    hosts = watched.get_all(b"host")
    if method == "CONNECT":
        raise MethodNotImplemented("This is no forward proxy: CONNECT is not supported")
    if target == b"*" and method != "OPTIONS":
        raise BadRequest("The target `*` is for OPTIONS alone")
    host, path, query = _parsed_target(target, hosts, http_version)
    if len(watched) == 1 and hosts:
        keep(watched[0])
        return Head(_request(method, path, headers, query, host, http_version), Framing.NONE, [])
    framing, length = request_framing(http_version, watched, body_bytes_max)
    request = _request(method, path, headers, query, host, http_version)
    # None, unlike 0, says that the client announced no length at all.
    request.content_length = length if framing is Framing.SIZED else None
    options = list_members(watched.get_all(b"connection") + watched.get_all(b"proxy-connection"))
    if length != 0 and b"upgrade" in options and watched.get(b"upgrade") is not None:
        # llhttp takes such a body for bytes of the other protocol, or for the next request.
        raise BadRequest("A request that asks for another protocol may not have a body")
    if hosts:
        keep((b"host", hosts[0]))
    if named := set(options) - _OF_NO_FIELD:
        headers.remove_all(named)
    head = Head(request, framing, options)
    head.expects_continue = _expects_continue(http_version, watched, framing)
    return head


def _request(
    method: str,
    path: bytes,
    headers: Headers,
    query: bytes | None,
    host: bytes,
    http_version: str,
) -> Request[Any]:
    return Request(method, path, headers, query=query, host=host, http_version=http_version)


def _expects_continue(http_version: str, watched: Headers, framing: Framing) -> bool:
    """Whether the client waits for 100 before it sends the body."""
    expectations = list_members(watched.get_all(b"expect"))
    if not expectations or http_version == "1.0":
        # RFC 9110, section 10.1.1: ignored from a client that cannot understand 100.
        return False
    if any(expectation != b"100-continue" for expectation in expectations):
        raise ExpectationFailed("The only expectation that can be met is 100-continue")
    return framing is not Framing.NONE


def _parsed_target(target: bytes, hosts: list[bytes], http_version: str) -> Target:
    if len(hosts) == 1 and len(target) <= _TARGET_KEPT_BYTES_MAX:
        return _remembered_target(target, hosts[0])
    return parse_target(target, hosts, http_version)


@lru_cache(maxsize=1024)
def _remembered_target(target: bytes, host: bytes) -> Target:
    """`parse_target` is pure, costs 2.4 µs, and most requests name one of few targets."""
    # With one Host the version makes no difference.
    return parse_target(target, [host], "1.1")
