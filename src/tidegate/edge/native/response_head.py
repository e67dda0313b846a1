"""Writes the head of a response: status line, fields, and framing made anew (RFC 9112, section 6).

What a policy or an upstream put into the fields cannot end the head early: a line break inside a
name, a value or a reason is refused. Hot: fields that were written a moment ago are not joined and
looked through again.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from tidegate.edge.pipeline import UnsafeResponse, unsent_length
from tidegate.http import Headers, Response
from tidegate.http.framing import Framing
from tidegate.http.headers import HOP_BY_HOP, breaks_line, line_of, name_of

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES: Final = {status: b"HTTP/1.1 %d " % status for status in range(200, 600)} | {
    status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode())
    for status in HTTPStatus
    if status >= 200
}
_INTERIM_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode())
    for status in HTTPStatus
    if status < 200
}
_WRITTEN_HERE: Final = HOP_BY_HOP | {b"content-length"}

NOTES_MAX: Final = 16
"""Statuses and reasons with which the same fields are kept as they are written."""

Written = tuple[bytes, bool]
"""Field lines, each with a line break ahead of it, and whether Date is among them."""

# Members of an Enum by their own names: looking one up on its class costs 85 ns (Python 3.11).
_NONE: Final = Framing.NONE
_SIZED: Final = Framing.SIZED
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE


def response_framing(
    response: Response, method: str, http_version: str
) -> tuple[Framing, int | None]:
    """Return how the body of `response` will end, and what Content-Length says of it.

    NONE where no body is sent; no length: there is no such field.
    """
    body, status = response.body, response.status
    if method == "HEAD" or status == 304 or status == 204:
        return _NONE, None if status == 204 else unsent_length(response)
    if isinstance(body, bytes):
        return _SIZED, len(body)
    if response.content_length is not None:
        return _SIZED, response.content_length
    return (_CLOSE if http_version == "1.0" else _CHUNKED), None


def response_head(
    response: Response,
    framing: Framing,
    length: int | None,
    http_version: str,
    date: bytes,
    *,
    closes: bool,
) -> bytes:
    """Return the head with its empty line. `framing` and `length` are of `response_framing`;
    `date`, for a response that has none, holds both the field and that line.

    Raises UnsafeResponse.
    """
    begin, has_date = _begin_of(response)
    if length is not None:
        ending = b"\r\ncontent-length: %d" % length
    else:
        ending = b"\r\ntransfer-encoding: chunked" if framing is _CHUNKED else b""
    if closes:
        ending += b"\r\nconnection: close"
    elif http_version == "1.0":
        ending += b"\r\nconnection: keep-alive"
    if response.own is not None:
        ending = b"%b\r\n%b" % (ending, response.own.own_lines())
    return b"%b%b\r\n%b" % (begin, ending, b"\r\n" if has_date else date)


def interim_head(status: int, fields: Headers) -> bytes:
    """Return the whole of a 1xx response. Raises UnsafeResponse."""
    line = _INTERIM_LINES.get(status) or b"HTTP/1.1 %d " % status
    return b"%b%b\r\n\r\n" % (line, _written(fields)[0])


def _begin_of(response: Response) -> Written:
    """Return the status line and the lines of all fields that are not written here."""
    block = response.block
    if block is None or response.headers != block.fields:
        return _begin(response)
    said = response.status, response.reason
    begin: Written | None = block.notes.get(said)
    if begin is None:
        begin = _begin(response)
        if len(block.notes) < NOTES_MAX:
            block.notes[said] = begin
    return begin


def _begin(response: Response) -> Written:
    line = _status_line(response)
    lines, has_date = _written(response.headers)
    return line + lines, has_date


def _status_line(response: Response) -> bytes:
    status, reason = response.status, response.reason
    line = _STATUS_LINES.get(status)
    if line is None:
        raise UnsafeResponse(f"{status} is not the status of a final response")
    if reason is None or line.endswith(reason):
        return line
    if breaks_line(reason):
        raise UnsafeResponse("a reason holds a line break or NUL")
    return b"HTTP/1.1 %d %b" % (status, reason)


def _written(fields: Headers) -> Written:
    lines = [*_lines_of(fields)]
    if breaks_line(b"".join(lines)):
        raise UnsafeResponse("a response field holds a line break or NUL")
    written = b"\r\n".join([b"", *lines])
    return written, b"\r\ndate: " in written


def _lines_of(fields: Headers) -> Iterable[bytes]:
    """Return the field lines, less those that are written here."""
    if _WRITTEN_HERE.isdisjoint(map(name_of, fields)):
        return map(line_of, fields)
    return [line_of(field) for field in fields if field[0] not in _WRITTEN_HERE]
