"""The smallest worker: answers HTTP with its pid and its snapshot's tag. Run as a program."""

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

import uvloop

from tidegate.supervisor.link import SupervisorLink


def main(link: SupervisorLink) -> None:
    orders = json.loads(link.snapshot)
    if "--role=companion" in sys.argv and os.path.exists(orders["companion"]):
        link.failed("the companion is ill")
        sys.exit(5)
    if "fail" in orders:
        link.failed(orders["fail"])
        sys.exit(3)
    if "fail_if" in orders and os.path.exists(orders["fail_if"]):
        sys.exit(4)
    if "only_first" in orders and not _is_first(orders["only_first"]):
        link.failed("another was first")
        sys.exit(6)
    if "hang" in orders:
        time.sleep(3600)
    # On asyncio's own loop a connection that is accepted in the turn of Server.close() is dropped.
    uvloop.run(serve(link, orders))


async def serve(link: SupervisorLink, orders: dict[str, Any]) -> None:
    draining = asyncio.Event()
    open_now: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            while head := await _head(reader):
                if head.startswith(b"GET /slow"):
                    await asyncio.sleep(0.5)
                if head.startswith(b"GET /block"):
                    time.sleep(3600)  # noqa: ASYNC251 the loop stands still
                body = json.dumps({"pid": os.getpid(), "tag": orders.get("tag")}).encode()
                close = b"Connection: close\r\n" if draining.is_set() else b""
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), close, body)
                )
                await writer.drain()
                if close:
                    break
        finally:
            writer.close()
            open_now.discard(task)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        loop.add_signal_handler(number, draining.set)
    link.when_alone(draining.set)
    server = await asyncio.start_server(answer, sock=link.listener, backlog=4096)
    link.ready()
    await draining.wait()
    server.close()
    link.takes_no_more()
    await asyncio.sleep(orders.get("stay_s", 0))
    # What was accepted in the last turn of the loop becomes a task in the next ones.
    for _ in range(5):
        await asyncio.sleep(0)
    if open_now:
        await asyncio.wait(open_now, timeout=5)


def _is_first(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


if __name__ == "__main__":
    main(SupervisorLink.from_arguments(sys.argv[1:]))
