"""The native door as a whole: accepts on one listening socket, sweeps, drains.

A connection over the bounds is accepted, told 503 and closed. Not accepting would leave it in
this worker's backlog, unanswered, while another worker might have had room: with SO_REUSEPORT the
kernel has already chosen.
"""

import asyncio
import socket
from typing import Final

from tidegate.edge.native.connection import Connection
from tidegate.edge.native.state import DoorState
from tidegate.edge.native.sweep import close_if_quiet, sweep
from tidegate.edge.pipeline import Pipeline, logger

BACKLOG: Final = 1024


class NativeServer:
    """Serves HTTP/1.1 and 1.0 for `pipeline` from `start` to the end of `drain`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._door: DoorState | None = None
        self._server: asyncio.Server | None = None
        self._sweep_handle: asyncio.TimerHandle | None = None

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on `sock`, which is bound; it is closed by `drain`."""
        loop = asyncio.get_running_loop()
        self._door = door = DoorState(self._pipeline)
        door.tick(loop.time())
        self._server = await loop.create_server(
            lambda: Connection(door, loop), sock=sock, backlog=BACKLOG
        )
        self._sweep_handle = loop.call_later(door.sweep_s, self._sweep, loop, door)

    @property
    def port(self) -> int:
        """The port that is served. Only after `start`, on an Internet socket."""
        assert self._server is not None  # noqa: S101 - see the docstring
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return 0 if self._door is None else len(self._door.connections)

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, let requests in flight end, and cut what has not ended in `timeout_s`.

        Returns when no connection is left. Idle connections are closed, busy ones after their
        last answer, which says so.
        """
        server, door = self._server, self._door
        if server is None or door is None:
            return
        self._server = None
        loop = asyncio.get_running_loop()
        server.close()
        door.is_draining = True
        # What was accepted in this turn of the loop is made a connection in the same or the next.
        await asyncio.sleep(0)
        for connection in tuple(door.connections):
            close_if_quiet(connection, loop.time())
        if not await self._is_empty_within(door, timeout_s):
            late = tuple(door.connections)
            logger.warning("the drain has lasted %g s: connections cut: %d", timeout_s, len(late))
            for connection in late:
                connection.reset()
            await self._is_empty_within(door, 1.0)
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()

    async def _is_empty_within(self, door: DoorState, timeout_s: float) -> bool:
        if not door.connections:
            return True
        empty = asyncio.Event()
        door.on_empty = empty.set
        try:
            async with asyncio.timeout(timeout_s):
                await empty.wait()
        except TimeoutError:
            return not door.connections
        finally:
            door.on_empty = None
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop, door: DoorState) -> None:
        """Look at every wait; one timer serves all connections."""
        self._sweep_handle = loop.call_later(door.sweep_s, self._sweep, loop, door)
        now = loop.time()
        door.tick(now)
        for connection in tuple(door.connections):
            sweep(connection, now)
