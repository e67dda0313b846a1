"""An upstream on a loopback port that answers what a test says and records what it received.

For tests of policies and of Tidegate itself. The socket is real, and so are the bytes: it can
stall, cut an answer short, reset the connection or send byte by byte.

    async with ScriptedUpstream([(404, {}, b"no"), b"HTTP/1.1 200 OK\\r\\n..."]) as upstream:
        ...  # the first request gets the 404, every later one the last answer
        assert upstream.requests[0].target == b"/things?id=1"
"""

import asyncio
import inspect
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from http.client import responses
from typing import Final, Self, TypeAlias


class Act(Enum):
    """What an answer may hold besides bytes."""

    STALL = auto()
    """Say nothing more until the client closes the connection."""
    CLOSE = auto()
    """Close the connection in the ordinary way."""
    RESET = auto()
    """Reset the connection (RST): an answer delimited by close is visibly cut."""


Step: TypeAlias = bytes | Act | asyncio.Event
"""Bytes to send, something to do, or an event to wait for."""

Canned: TypeAlias = bytes | tuple[int, Mapping[str, str], bytes] | Sequence[Step]
"""Raw bytes; or status, fields and body, framed properly; or steps."""

Answer: TypeAlias = "Canned | Callable[[ReceivedRequest], Canned | Awaitable[Canned]]"

DEFAULT_ANSWER: Final[Canned] = (200, {"content-type": "application/json"}, b'{"ok":true}')
_BODILESS: Final = (204, 304)
_HEAD_BYTES_MAX: Final = 1024 * 1024


@dataclass(slots=True)
class ReceivedRequest:
    """One request as it came over the wire."""

    raw_head: bytes
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    """In their order, names in the case they were sent in."""
    body: bytes = b""
    body_bytes: int = 0
    """Length of the body, counted also where bodies are not kept."""
    is_complete: bool = False
    connection: int = 0
    """Which of the upstream's connections carried it, counted from 1."""

    def get_all(self, name: bytes) -> list[bytes]:
        """Return the values of every field called `name` (lower case)."""
        return [value for field, value in self.headers if field.lower() == name]


class ScriptedUpstream:
    """Answers each request with the next entry of `script`; the last entry repeats.

    `script` may be replaced at any time, and then starts anew.
    """

    def __init__(
        self,
        script: Sequence[Answer] = (DEFAULT_ANSWER,),
        *,
        tls: ssl.SSLContext | None = None,
        sends_byte_by_byte: bool = False,
        answers_early: bool = False,
        keeps_bodies: bool = True,
    ) -> None:
        """`answers_early`: the script runs as soon as the head is there; the body is read after.

        `keeps_bodies=False` counts bodies without holding them.
        """
        self.script = script
        self.requests: list[ReceivedRequest] = []
        self.connections_opened = 0
        self.connections_open = 0
        self.body_gate = asyncio.Event()
        """While clear, request bodies are not read. Set from the start."""
        self.body_gate.set()
        self.port = 0
        self._tls = tls
        self._sends_byte_by_byte = sends_byte_by_byte
        self._answers_early = answers_early
        self._keeps_bodies = keeps_bodies
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def script(self) -> Sequence[Answer]:
        return self._script

    @script.setter
    def script(self, script: Sequence[Answer]) -> None:
        self._script = script
        self._left = list(script)

    @property
    def url(self) -> str:
        """The target to put into a service; over TLS it names `localhost`."""
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls, limit=_HEAD_BYTES_MAX
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and cut every connection. May be called twice, and started again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut_connections()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_connections(self) -> None:
        """Close every connection now, as a restarting service would."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        self.connections_opened += 1
        self.connections_open += 1
        number = self.connections_opened
        try:
            while await self._serve_one(reader, writer, number):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self.connections_open -= 1
            self._writers.discard(writer)
            writer.transport.abort()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        """Answer one request; return whether the connection goes on."""
        request = _parsed(await reader.readuntil(b"\r\n\r\n"))
        request.connection = number
        self.requests.append(request)
        answer = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if not self._answers_early:
            await self._read_body(reader, request)
        if callable(answer):
            made = answer(request)
            answer = await made if inspect.isawaitable(made) else made
        for step in _steps(answer, request.method):
            if not await self._do(step, reader, writer):
                return False
        if self._answers_early:
            await self._read_body(reader, request)
        return True

    async def _do(
        self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        match step:
            case bytes():
                await self._send(step, writer)
            case asyncio.Event():
                await step.wait()
            case Act.STALL:
                while await reader.read(65536):
                    pass
                return False
            case Act.CLOSE:
                await writer.drain()
                writer.close()
                return False
            case Act.RESET:
                _reset(writer)
                return False
        return True

    async def _send(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if not self._sends_byte_by_byte:
            writer.write(piece)
            await writer.drain()
            return
        for position in range(len(piece)):
            writer.write(piece[position : position + 1])
            await writer.drain()
            # Two turns of the loop: the client, if it shares it, reads each byte by itself.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def _read_body(self, reader: asyncio.StreamReader, request: ReceivedRequest) -> None:
        if request.get_all(b"transfer-encoding"):
            while size := int((await reader.readline()).strip(), 16):
                await self._read_sized(reader, request, size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        elif lengths := request.get_all(b"content-length"):
            await self._read_sized(reader, request, int(lengths[0]))
        request.is_complete = True

    async def _read_sized(
        self, reader: asyncio.StreamReader, request: ReceivedRequest, size: int
    ) -> None:
        while size:
            await self.body_gate.wait()
            piece = await reader.read(min(size, 65536))
            if not piece:
                raise EOFError
            size -= len(piece)
            request.body_bytes += len(piece)
            if self._keeps_bodies:
                request.body += piece


def _parsed(head: bytes) -> ReceivedRequest:
    """Read a head without judging it: what arrived is for the test to judge."""
    line, *fields = head[:-4].split(b"\r\n")
    method, _, rest = line.partition(b" ")
    target, _, _ = rest.rpartition(b" ")
    pairs = [(name, value.strip()) for name, _, value in (f.partition(b":") for f in fields)]
    return ReceivedRequest(head, method.decode("latin-1"), target, pairs)


def _steps(answer: Canned, method: str) -> Sequence[Step]:
    match answer:
        case bytes():
            return [answer]
        case (int() as status, Mapping() as fields, bytes() as body):
            return [_framed(status, fields, body, method)]
        case _:
            return answer


def _framed(status: int, fields: Mapping[str, str], body: bytes, method: str) -> bytes:
    reason = responses.get(status, "")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {fields[name]}" for name in fields)]
    if status not in _BODILESS:
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if method == "HEAD" or status in _BODILESS else head + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Make closing send RST: linger for zero seconds."""
    connection = writer.get_extra_info("socket")
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
