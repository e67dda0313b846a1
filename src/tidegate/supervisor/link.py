"""The worker's end of what ties it to its supervisor (the other end: worker_process.py).

Three things come with the process: the slot's listening socket, the snapshot on the lifeline, and
the pipe on which the worker says that it serves, why it does not, that its event loop turns, and
that it takes no more.
"""

import asyncio
import faulthandler
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

from tidegate.supervisor.worker_process import (
    BEAT,
    FAILED,
    FIRST,
    LENGTH_BYTES,
    READY,
    REASON_BYTES_MAX,
    SAY_WHERE,
)

_LIFELINE: Final = 0
"""Standard input."""
BEAT_S: Final = 0.5
"""A write of a byte, 5 µs. The supervisor's patience is many of these."""


class SupervisorLink:
    """What one worker got from its supervisor, and how it reports back."""

    def __init__(
        self, listener: socket.socket, status_fd: int, snapshot: bytes, *, is_first_start: bool
    ) -> None:
        self.listener = listener
        self.snapshot = snapshot
        self.is_first_start = is_first_start
        self._status_fd = status_fd

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Self:
        """Take over what the process was started with; blocks until the snapshot is there."""
        given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
        listen_fd, status_fd = int(given["listen-fd"]), int(given["status-fd"])
        for descriptor in (listen_fd, status_fd):
            os.set_inheritable(descriptor, False)
        return cls(
            socket.socket(fileno=listen_fd),
            status_fd,
            _read_snapshot(),
            is_first_start=given["start"] == FIRST,
        )

    def ready(self) -> None:
        """Say that the worker serves, and from now on that the running loop turns."""
        faulthandler.register(SAY_WHERE)
        os.write(self._status_fd, READY)
        # A supervisor that is stopped reads nothing: its workers go on all the same.
        os.set_blocking(self._status_fd, False)
        self._beat()

    def failed(self, reason: str) -> None:
        """Say why the worker cannot serve."""
        said = FAILED + reason.encode(errors="replace")
        os.write(self._status_fd, said[:REASON_BYTES_MAX])

    def takes_no_more(self) -> None:
        """Say that the worker accepts no connections from now on. Safe to call twice."""
        if self._status_fd >= 0:
            os.close(self._status_fd)
            self._status_fd = -1

    def _beat(self) -> None:
        if self._status_fd < 0:
            return
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._status_fd, BEAT)
        asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def when_alone(self, act: Callable[[], None]) -> None:
        """Call `act` on the running loop once the supervisor is gone, however it went."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(_LIFELINE)
            act()

        loop.add_reader(_LIFELINE, gone)


def _read_snapshot() -> bytes:
    length = int.from_bytes(_exactly(LENGTH_BYTES), "big")
    return _exactly(length)


def _exactly(count: int) -> bytes:
    """Read `count` bytes and not one more, so that the end of the lifeline can be watched."""
    pieces = bytearray()
    while len(pieces) < count:
        piece = os.read(_LIFELINE, count - len(pieces))
        if not piece:
            raise EOFError("The supervisor is gone")
        pieces += piece
    return bytes(pieces)
