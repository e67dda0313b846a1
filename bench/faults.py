"""A real Redis that is killed, emptied, frozen, paused or slow, behind a proxy that can delay.

Every way in which a store is away is one name in FAULTS, with what begins and what ends it.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench.surroundings import Unfit, free_port

START_S: Final = 10.0
START_LOOK_S: Final = 0.02
SLOW_S: Final = 0.2
"""How late the proxy passes on what either side says: there and back, eight times the deadline."""


class Proxy:
    """Between the gateway and its store: passes on, `delay_s` later, in order."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self.delay_s = 0.0
        self._links: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._linked, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for link in self._links:
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            try:
                there_reader, there = await asyncio.open_connection("127.0.0.1", self._behind)
            except OSError:
                return
            async with closing(there):
                ways = [self._one_way(reader, there), self._one_way(there_reader, writer)]
                tasks = [asyncio.create_task(way) for way in ways]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, as a line with this delay would."""
        loop = asyncio.get_running_loop()
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - loop.time())
                writer.write(data)

        arriving = asyncio.create_task(arrive())
        try:
            while data := await reader.read(65536):
                on_the_way.put_nowait((loop.time() + self.delay_s, data))
        except OSError:
            pass  # it was cut: so is the other end
        finally:
            arriving.cancel()
            await asyncio.gather(arriving, return_exceptions=True)


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class FaultyStore:
    """A Redis with an append-only file. `port` is its proxy's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "redis"
        self._own_port = free_port()
        self.port = free_port()
        self.proxy = Proxy(self._own_port)
        self._server: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.start()
        try:
            async with self.proxy.listening(self.port):
                yield
        finally:
            await self.kill()

    async def start(self) -> None:
        if (binary := shutil.which("redis-server")) is None:
            raise Unfit("redis-server is not on PATH: apt-get install redis-server")
        self._folder.mkdir(exist_ok=True)
        options = ["--port", str(self._own_port), "--bind", "127.0.0.1", "--save", ""]
        options += ["--appendonly", "yes", "--dir", str(self._folder)]
        options += ["--logfile", "log"]
        self._server = await asyncio.create_subprocess_exec(binary, *options)
        async with asyncio.timeout(START_S):
            while await self._said("PING") != b"+PONG":  # noqa: ASYNC110 it sets no event
                await asyncio.sleep(START_LOOK_S)

    async def kill(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.kill()
            await server.wait()

    def signal(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(number)

    def empty(self) -> None:
        shutil.rmtree(self._folder)

    async def say(self, command: str) -> None:
        """Send a command to the store itself. Raises Unfit if it will not have it."""
        if (answer := await self._said(command)) != b"+OK":
            raise Unfit(f"the store says {answer!r} to {command}")

    async def _said(self, command: str) -> bytes:
        """Return its answer; nothing if it cannot be reached."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._own_port)
        except OSError:
            return b""
        async with closing(writer):
            writer.write(f"{command}\r\n".encode())
            return (await reader.readline()).strip()


class Fault(NamedTuple):
    words: str
    begin: Callable[[FaultyStore, float], Awaitable[None]]
    """Takes for how many seconds it shall last: a paused store hears nobody who would end that."""
    end: Callable[[FaultyStore], Awaitable[None]]


async def _killed(store: FaultyStore, _: float) -> None:
    await store.kill()


async def _started(store: FaultyStore) -> None:
    await store.start()


async def _started_empty(store: FaultyStore) -> None:
    store.empty()
    await store.start()


async def _stopped(store: FaultyStore, _: float) -> None:
    store.signal(signal.SIGSTOP)


async def _continued(store: FaultyStore) -> None:
    store.signal(signal.SIGCONT)


async def _slow(store: FaultyStore, _: float) -> None:
    store.proxy.delay_s = SLOW_S


async def _quick(store: FaultyStore) -> None:
    store.proxy.delay_s = 0.0


async def _paused(store: FaultyStore, lasts_s: float) -> None:
    await store.say(f"CLIENT PAUSE {round(lasts_s * 1000)} ALL")


async def _paused_for_writing(store: FaultyStore, lasts_s: float) -> None:
    await store.say(f"CLIENT PAUSE {round(lasts_s * 1000)} WRITE")


async def _nothing(_: FaultyStore) -> None:
    """It ends by itself."""


FAULTS: Final = {
    "killed": Fault("`kill -9`, then started", _killed, _started),
    "emptied": Fault("`kill -9`, then started without data", _killed, _started_empty),
    "frozen": Fault("`SIGSTOP`, then `SIGCONT`", _stopped, _continued),
    "slow": Fault(f"{2 * SLOW_S * 1000:.0f} ms late", _slow, _quick),
    "paused": Fault("`CLIENT PAUSE … ALL`", _paused, _nothing),
    "paused-writing": Fault("`CLIENT PAUSE … WRITE`", _paused_for_writing, _nothing),
}
