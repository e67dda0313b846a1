"""What the echo upstream says to a request: an echo, or what the end of the path asks for."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote

DELAY_S_MAX: Final = 60.0
EVENTS_MAX: Final = 1000
INTERVAL_S_MAX: Final = 10.0
BYTES_MAX: Final = 2**31
PIECE: Final = b"tidegate" * 8192

_ORDER: Final = re.compile(r"/(status|delay|bytes)/([0-9.]+)\Z|/(stream)\Z")


@dataclass
class EchoRequest:
    method: str = ""
    target: bytes = b""
    http_version: str = "1.1"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body_bytes: int = 0
    keeps_alive: bool = True

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def query(self) -> str:
        return self.target.partition(b"?")[2].decode("latin-1")


async def answer(request: EchoRequest, writer: asyncio.StreamWriter) -> None:
    """Write the whole answer to `request`."""
    order = _ORDER.search(unquote(request.path))
    word = order and (order[1] or order[3])
    amount = _number(order[2]) if order and order[2] else 0.0
    if word == "stream":
        await _write_stream(request, writer, _events(request.query))
    elif word == "bytes":
        await _write_bytes(request, writer, min(int(amount), BYTES_MAX))
    else:
        status = 200
        if word == "delay":
            await asyncio.sleep(min(amount, DELAY_S_MAX))
        elif word == "status" and 200 <= amount <= 599:
            status = int(amount)
        _write_echo(request, writer, status)
    await writer.drain()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _write_echo(request: EchoRequest, writer: asyncio.StreamWriter, status: int) -> None:
    told = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": {name.lower(): value for name, value in request.headers},
        "body_bytes": request.body_bytes,
    }
    body = json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n"
    if status in (204, 304):
        writer.write(_head(request, status, ()))
        return
    fields = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    writer.write(_head(request, status, fields) + (b"" if request.method == "HEAD" else body))


async def _write_bytes(request: EchoRequest, writer: asyncio.StreamWriter, count: int) -> None:
    fields = (("Content-Type", "application/octet-stream"), ("Content-Length", str(count)))
    writer.write(_head(request, 200, fields))
    if request.method == "HEAD":
        return
    while count > 0:
        writer.write(PIECE[:count])
        count -= len(PIECE)
        await writer.drain()


async def _write_stream(
    request: EchoRequest, writer: asyncio.StreamWriter, events: AsyncIterator[bytes]
) -> None:
    """Chunked, or for HTTP/1.0 ended by closing."""
    is_chunked = request.http_version != "1.0"
    fields = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]
    if is_chunked:
        fields.append(("Transfer-Encoding", "chunked"))
    else:
        request.keeps_alive = False
    writer.write(_head(request, 200, fields))
    if request.method == "HEAD":
        return
    async for event in events:
        writer.write(b"%x\r\n%b\r\n" % (len(event), event) if is_chunked else event)
        await writer.drain()
    if is_chunked:
        writer.write(b"0\r\n\r\n")


async def _events(query: str) -> AsyncIterator[bytes]:
    asked = parse_qs(query)
    count = min(int(_number(asked.get("count", ["5"])[0])), EVENTS_MAX)
    interval_s = min(_number(asked.get("interval", ["0.2"])[0]), INTERVAL_S_MAX)
    for number in range(1, count + 1):
        yield b"id: %d\ndata: event %d of %d\n\n" % (number, number, count)
        if number < count:
            await asyncio.sleep(interval_s)


def _head(
    request: EchoRequest, status: int, fields: tuple[tuple[str, str], ...] | list[tuple[str, str]]
) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    if not request.keeps_alive:
        lines.append("Connection: close")
    elif request.http_version == "1.0":
        lines.append("Connection: keep-alive")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
