"""What the native door alone costs a request: `python -m bench.edge_only [--rounds 3]`.

The door before a handler that answers at once, between a bare echo Protocol on the same parser
(the floor: no header is looked at) and uvicorn on httptools with a bare ASGI application. Same
request, same answer, interleaved rounds, the server pinned to one core, the load to another.
Prints CPU µs per request (medians) and the ratios to the door. Needs wrk.
"""

import argparse
import asyncio
import socket
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httptools
import uvicorn
import uvloop

from bench.load import load
from bench.processes import cpu_us, pinned
from tidegate.config.schema import Config
from tidegate.edge import AsgiDoor, NativeServer
from tidegate.http import GatewayError, Headers, Request, Response

BODY = b'{"ok":true,"padding":"' + b"x" * 170 + b'"}'
JSON = (b"content-type", b"application/json")
LENGTH = (b"content-length", b"%d" % len(BODY))


class Handler:
    """Answers at once."""

    config = Config.model_validate(
        {
            "version": 1,
            "services": [{"name": "s", "targets": ["http://x"], "routes": [{"name": "r"}]}],
        }
    )
    body_bytes_max = 2**30

    async def handle(self, request: Request[Any]) -> Response:
        return Response(200, Headers((JSON,)), BODY)

    def refused(self, error: GatewayError, *, is_cut: bool = False) -> None: ...


class Echo(asyncio.Protocol):
    """The floor: parse, and write a constant."""

    answer = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (
            len(BODY),
            BODY,
        )
    )

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_message_complete(self) -> None:
        self.transport.write(self.answer)

    def data_received(self, octets: bytes) -> None:
        self.parser.feed_data(octets)


async def bare_application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [JSON, LENGTH]})
    await send({"type": "http.response.body", "body": BODY})


async def serve(kind: str, sock: socket.socket) -> None:
    if kind == "door":
        await NativeServer(Handler()).start(sock)
    elif kind == "echo":
        await asyncio.get_running_loop().create_server(Echo, sock=sock)
    else:
        app = bare_application if kind == "uvicorn" else AsgiDoor(Handler())
        config = uvicorn.Config(app, http="httptools", access_log=False, log_level="error")
        await uvicorn.Server(config).serve([sock])
    await asyncio.Event().wait()


KINDS = ("door", "echo", "uvicorn", "asgi-door")


def child(kind: str, port: int) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", port))
    uvloop.run(serve(kind, sock))


def one_round(kind: str, seconds: int, folder: Path) -> tuple[float, float]:
    """Return CPU µs per request and requests per second of one server under load."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api/v1/test"
    command = [sys.executable, "-m", "bench.edge_only", "--child", kind, str(port)]
    with pinned(kind, command, cores={0}, folder=folder, env={}) as server:
        wait_for(port)
        load(url, "key", seconds=1, core=1)
        before = cpu_us(server.pid)
        measured = load(url, "key", seconds=seconds, core=1)
        if measured.broken or measured.refused:
            raise SystemExit(f"bench: {kind} broke under load: {measured}")
        used_us = cpu_us(server.pid) - before
    return used_us / measured.requests, measured.requests * 1e6 / measured.duration_us


def wait_for(port: int) -> None:
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise SystemExit("bench: the server did not start")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.edge_only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("KIND", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]))
        return 0
    measured: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for kind in KINDS:
                measured[kind].append(one_round(kind, options.seconds, Path(folder)))
    door_us = statistics.median(cpu for cpu, _ in measured["door"])
    print(
        "| server | CPU µs a request | requests/s | ratio to the door |\n| --- | --- | --- | --- |"
    )
    for kind, values in measured.items():
        used_us = statistics.median(cpu for cpu, _ in values)
        rate = statistics.median(per_second for _, per_second in values)
        print(f"| {kind} | {used_us:.1f} | {rate:,.0f} | {used_us / door_us:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
