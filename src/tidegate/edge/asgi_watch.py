"""Which requests of an ASGI door last long enough to be watched for a client that goes away.

ASGI tells of that only to whoever awaits `receive`, which takes a Task: making and cancelling one
costs a fifth of what a short request costs in all. So only what lasts is watched, and one tick for
all requests of a door says what that is: what began before the last one.
"""

import asyncio
from typing import Any, Final, Protocol

TICK_S: Final = 0.05
"""A request is watched once it has lasted for one to two of these."""


class Watched(Protocol):
    def start_watching(self) -> None:
        """Take a Task to wait for the client to go away."""


class Watch:
    """Of one door. It ticks while requests have begun that are not watched yet."""

    __slots__ = ("_loop", "_older", "_recent", "_timer")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._recent: set[Watched] = set()
        """Begun since the last tick."""
        self._older: set[Watched] = set()
        """Begun before it."""

    def begin(self, request: Watched) -> asyncio.Task[Any] | None:
        """Look after `request` from now on; return the Task it runs in."""
        # Asking which loop runs is a system call (getpid) in Python 3.11.
        task = asyncio.current_task(self._loop) if self._timer is not None else None
        if task is None:
            task = self._start()
        self._recent.add(request)
        return task

    def end(self, request: Watched) -> None:
        self._recent.discard(request)
        self._older.discard(request)

    def tick(self) -> None:
        """What began before the last tick lasts."""
        lasting, self._older, self._recent = self._older, self._recent, set()
        self._timer = None
        if self._older and self._loop is not None:
            self._timer = self._loop.call_later(TICK_S, self.tick)
        for request in lasting:
            request.start_watching()

    def _start(self) -> asyncio.Task[Any] | None:
        loop = asyncio.get_running_loop()
        if self._timer is None or loop is not self._loop:
            # Another loop: the one before has ended, and its requests with it.
            self._loop = loop
            self._timer = loop.call_later(TICK_S, self.tick)
        return asyncio.current_task(loop)
