"""Requests at given times over kept connections, whatever becomes of the ones before.

An open load: a request that is due while no connection is free leaves as soon as one is. Of each it
is known when it was sent, when it was answered and with what status; the decision fell in between.
"""

import asyncio
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import NamedTuple, cast

import httptools

ANSWER_S = 10.0


class Answered(NamedTuple):
    sent_at: float
    answered_at: float
    status: int


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[int] | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(self._parser.get_status_code())
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or EOFError())

    async def ask(self, request: bytes) -> Answered:
        self._answer = asyncio.get_running_loop().create_future()
        sent_at = perf_counter()
        self.transport.write(request)
        async with asyncio.timeout(ANSWER_S):
            status = await self._answer
        return Answered(sent_at, perf_counter(), status)


async def asked(port: int, request: bytes, times: Iterable[float], wide: int) -> list[Answered]:
    """Send `request` at `times` (seconds from now) on `wide` connections, each in its turn."""
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(wide):
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        free.put_nowait(connection)
    began = perf_counter()
    found: list[Answered] = []

    async def one(connection: _Connection) -> None:
        found.append(await connection.ask(request))
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as tasks:
        for due in times:
            if (wait_s := began + due - perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            tasks.create_task(one(await free.get()))
    while not free.empty():
        free.get_nowait().transport.close()
    return sorted(found)


def steady(per_s: float, seconds: float) -> Iterator[float]:
    """Yield the times of so many a second, evenly."""
    return (number / per_s for number in range(round(seconds * per_s)))


def bursty(per_s: float, seconds: float, every_s: float) -> Iterator[float]:
    """Yield the times of as many, but all at once, `every_s` seconds."""
    cycles = max(1, round(seconds / every_s))
    return (cycle * every_s for cycle in range(cycles) for _ in range(round(per_s * every_s)))
