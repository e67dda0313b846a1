"""The head of a request, checked and turned into a Request: the one reading both doors share.

A parser, ours or an ASGI server's, has split the bytes; what it let through is refused here:
targets and hosts (http/target.py), framing that two readers might understand differently
(http/framing.py), expectations nobody can meet (RFC 9110, section 10.1.1), methods that are not
a gateway's. Fields that concern one connection end here. Hot: one pass over the fields.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

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


class Connection(NamedTuple):
    """What a head says besides the request: how its body ends, and what becomes of the connection.

    `options` are those of the Connection fields.
    """

    framing: Framing
    options: frozenset[bytes]
    expects_continue: bool


_PLAIN: Final = Connection(Framing.NONE, frozenset(), expects_continue=False)
"""Of most requests: no body, and not a word about the connection."""
_KEPT: Final = Connection(Framing.NONE, frozenset({b"keep-alive"}), expects_continue=False)
"""Of many others: no body, and the one word that most clients say."""
_SIZED: Final = Connection(Framing.SIZED, frozenset(), expects_continue=False)
"""Of most requests with a body: a length, and not a word about the connection."""
_SAYING_KEPT: Final = ([(b"connection", b"keep-alive")], [(b"connection", b"Keep-Alive")])


class SortedFields(NamedTuple):
    """The fields of a head by what becomes of them. Shared by equal heads, so never changed."""

    forwarded: list[HeaderField]
    hosts: list[bytes]
    watched: list[HeaderField]
    """Of the body and of the connection."""


def read_head(
    method: str,
    target: bytes,
    http_version: str,
    fields: Iterable[tuple[bytes, bytes, bytes]],
    body_bytes_max: int,
) -> tuple[Request[Any], Connection]:
    """Return the request if it can be read in one way only; raise a GatewayError if not.

    A field is its name, a colon, and its value, as `bytes.partition` leaves it.
    """
    return read_sorted(method, target, http_version, sorted_fields(fields), body_bytes_max)


def sorted_fields(fields: Iterable[tuple[bytes, bytes, bytes]]) -> SortedFields:
    """Sort fields as `read_head` takes them. The only pass over all of them."""
    forwarded: list[HeaderField] = []
    hosts: list[bytes] = []
    watched: list[HeaderField] = []
    for name, _, value in fields:
        name = name.lower()
        value = value.strip(_BLANKS)
        if name not in _WATCHED:
            forwarded.append((name, value))
        elif name == b"host":
            hosts.append(value)
        else:
            watched.append((name, value))
    return SortedFields(forwarded, hosts, watched)


def read_sorted(
    method: str, target: bytes, http_version: str, fields: SortedFields, body_bytes_max: int
) -> tuple[Request[Any], Connection]:
    """Do what `read_head` does with the fields as `sorted_fields` leaves them."""
    forwarded, hosts, watched = fields
    if method == "CONNECT":
        raise MethodNotImplemented("This is no forward proxy: CONNECT is not supported")
    if len(hosts) == 1 and len(target) <= _TARGET_KEPT_BYTES_MAX:
        host, path, query = _remembered_target(target, hosts[0])
    else:
        host, path, query = parse_target(target, hosts, http_version)
    if path == b"*" and method != "OPTIONS":
        raise BadRequest("The target `*` is for OPTIONS alone")
    headers = Headers(forwarded)
    if hosts:
        headers.append((b"host", hosts[0]))
    request: Request[Any] = Request(method, path, headers)
    # As keywords they cost more.
    request.host, request.query, request.http_version = host, query, http_version
    if not watched:
        return request, _PLAIN
    if watched in _SAYING_KEPT:
        return request, _KEPT
    return request, _connection(request, Headers(watched), body_bytes_max)


def is_usual(connection: Connection) -> bool:
    """Whether no field concerns the body or the connection, but for a plain keep-alive."""
    return connection is _PLAIN or connection is _KEPT


def _connection(request: Request[Any], watched: Headers, body_bytes_max: int) -> Connection:
    """Settle the body's length, and take out what Connection names."""
    framing, length = request_framing(request.http_version, watched, body_bytes_max)
    # None, unlike 0, says that the client announced no length at all.
    request.content_length = length if framing is Framing.SIZED else None
    if framing is Framing.SIZED and len(watched) == 1:
        return _SIZED
    options = frozenset(
        list_members(watched.get_all(b"connection") + watched.get_all(b"proxy-connection"))
    )
    if length != 0 and b"upgrade" in options and watched.get(b"upgrade") is not None:
        # llhttp takes such a body for bytes of the other protocol, or for the next request.
        raise BadRequest("A request that asks for another protocol may not have a body")
    if named := options - _OF_NO_FIELD:
        request.headers.remove_all(named)
    expects_continue = _expects_continue(request.http_version, watched, framing)
    return Connection(framing, options, expects_continue)


def _expects_continue(http_version: str, watched: Headers, framing: Framing) -> bool:
    """Whether the client waits for 100 before it sends the body."""
    expectations = list_members(watched.get_all(b"expect"))
    if not expectations or http_version == "1.0":
        # RFC 9110, section 10.1.1: ignored from a client that cannot understand 100.
        return False
    if any(expectation != b"100-continue" for expectation in expectations):
        raise ExpectationFailed("The only expectation that can be met is 100-continue")
    return framing is not Framing.NONE


@lru_cache(maxsize=1024)
def _remembered_target(target: bytes, host: bytes) -> Target:
    """`parse_target` is pure, costs 2.4 µs, and most requests name one of few targets."""
    # With one Host the version makes no difference.
    return parse_target(target, [host], "1.1")
