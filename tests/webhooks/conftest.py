"""A receiver of webhooks on a real socket, which answers as a test says and keeps what it got."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tidegate.config.webhooks import Webhooks

KEY = bytes(range(32))
DRIP = "drip"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Delivery:
    path: str
    fields: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.fields["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, key: bytes) -> bool:
        """As the specification tells receivers to verify."""
        at = self.fields["webhook-timestamp"]
        signed = f"{self.id}.{at}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        signatures = self.fields["webhook-signature"].split(" ")
        is_fresh = abs(time.time() - int(at)) < 300
        return is_fresh and any(hmac.compare_digest(one, f"v1,{expected}") for one in signatures)


@dataclass
class Receiver:
    """`answers` are statuses, with fields or without, for one request each; then 204s. An answer
    of None never comes, one of DRIP never comes to its end."""

    answers: list[int | str | tuple[int, dict[str, str]] | None] = field(default_factory=list)
    got: list[Delivery] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _held: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?token=abc"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._held:
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *lines = head.strip().split("\r\n")
            fields = {name.lower(): value for name, value in (e.split(": ", 1) for e in lines)}
            body = await reader.readexactly(int(fields["content-length"]))
            self.got.append(Delivery(line.split(" ")[1], fields, body))
            answer = self.answers.pop(0) if self.answers else 204
            if answer is None:
                self._held.add(writer)
                await reader.read()
                return
            if isinstance(answer, str):
                writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            status, more = (answer, {}) if isinstance(answer, int) else answer
            extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{extra}\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def settings(receiver: Receiver) -> Callable[..., Webhooks]:
    """`settings(**fields)`: webhooks that go to the receiver."""

    def made(**fields: Any) -> Webhooks:
        return Webhooks.model_validate({"url": receiver.url, "secret": SECRET, **fields})

    return made
