"""The echo upstream: answers each request with what it received, as JSON, and misbehaves if asked.

One connection is one coroutine that reads, answers, and reads on: what a client pipelines waits
in the socket, so that memory is bounded by one read. Not a server for strangers, yet every number
a path can ask for has a bound.
"""

import asyncio
import socket
from typing import Final, Self

import httptools

from tidegate.cli.echo_answers import EchoRequest, answer

READ_BYTES: Final = 64 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
IDLE_S: Final = 75.0
"""The gateway's own pools give up an idle connection earlier (55 s by default)."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class EchoServer:
    """Serves on a bound socket while the context is open; what is open at its end is cut."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, sock=self._listener, limit=READ_BYTES, backlog=1024
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            await _Connection(reader, writer).run()
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the client went away, was silent, or this server ends
        finally:
            writer.close()


class _Connection:
    """Reads the messages of one connection; the methods in `on_…` are the parser's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpRequestParser(self)
        self._request = EchoRequest()
        self._complete: list[EchoRequest] = []
        self._head_bytes = 0
        self._owes_continue = False

    async def run(self) -> None:
        while received := await self._read():
            try:
                self._parser.feed_data(received)
            except httptools.HttpParserUpgrade:
                pass  # answered as if it had not asked
            except httptools.HttpParserError:
                self._writer.write(_BAD_REQUEST)
                return
            if self._head_bytes > HEAD_BYTES_MAX:
                self._writer.write(_BAD_REQUEST)
                return
            for request in self._complete:
                await answer(request, self._writer)
                if not request.keeps_alive:
                    return
            self._complete.clear()
            if self._owes_continue:
                self._owes_continue = False
                self._writer.write(_CONTINUE)

    async def _read(self) -> bytes:
        async with asyncio.timeout(IDLE_S):
            return await self._reader.read(READ_BYTES)

    def on_message_begin(self) -> None:
        self._request = EchoRequest()
        self._head_bytes = 0

    def on_url(self, part: bytes) -> None:
        self._head_bytes += len(part)
        self._request.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        self._request.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("latin-1")
        self._request.http_version = self._parser.get_http_version()
        self._request.keeps_alive = self._parser.should_keep_alive()
        expected = (value for name, value in self._request.headers if name.lower() == "expect")
        self._owes_continue = any(value.lower() == "100-continue" for value in expected)

    def on_body(self, part: bytes) -> None:
        self._request.body_bytes += len(part)

    def on_message_complete(self) -> None:
        self._owes_continue = False
        self._complete.append(self._request)
