"""The access log: one line a request, written off the loop, bounded; what cannot leave is dropped.

The loop only appends. What has gathered is handed to one thread ten times a second, which makes
the text and writes it. Whatever waits beyond a bound is dropped, counted, and said once. A reader
that does not read delays nobody. Holds no key and no header field, and hides what the query calls
secret (see log_lines.py). Several workers share one output: each write is whole lines, as much as
a pipe takes in one piece (POSIX: PIPE_BUF bytes), so that no worker's line is torn by another's.
"""

import asyncio
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from time import perf_counter
from typing import Final, NamedTuple

from tidegate.telemetry.meters import Caller, Meter

logger = logging.getLogger("tidegate.access_log")

WAITING_MAX: Final = 20_000
"""Lines not yet written: about 20 MB, and a second of a worker's most traffic."""
HAND_OVER_S: Final = 0.1
LINE_BYTES_MAX: Final = select.PIPE_BUF
"""With its end; what is longer is cut."""
CUT: Final = b"...\n"
CLOSE_S: Final = 1.0
"""How long the end of a worker waits for a reader that may not be reading."""


class Entry(NamedTuple):
    """What a line needs of a request that has ended, and nothing by which its body, its fields or
    a cached answer would stay. Durations are seconds; `ended_at` is of `perf_counter`."""

    meter: Meter
    caller: Caller | None
    request_id: bytes
    source: str
    cache_status: str | None
    target: str | None
    client: str
    method: str
    query: bytes | None
    path: bytes
    status: int
    size: int
    duration_s: float
    store_s: float
    upstream_s: float
    is_aborted: bool
    ended_at: float


Format = Callable[[Entry, float], str]
"""Makes a line of an entry and the Unix time at which it ended."""


Batches = SimpleQueue[list[Entry] | None]


class AccessLog:
    """Writes to `descriptor`, which stays open. Made anywhere; `add` and `aclose` on the loop.

    What is added after `aclose` is written as before, until the next one.
    """

    def __init__(self, descriptor: int, line: Format) -> None:
        self._descriptor = descriptor
        self._line = line
        self._gathered: list[Entry] = []
        self._added = 0
        self._done = 0
        """Lines written or given up by the thread."""
        self._dropped_here = 0
        self._dropped_there = 0
        self._has_said = False
        self._is_broken = False
        self._counts = threading.Lock()
        """Around what a thread counts: one that was given up may be counting still."""
        self._batches = Batches()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines that nobody will read."""
        return self._dropped_here + self._dropped_there

    def add(self, entry: Entry) -> None:
        """Take a line to be written soon."""
        if self._added - self._done >= WAITING_MAX:
            self._drop()
            return
        self._added += 1
        gathered = self._gathered
        if not gathered:
            asyncio.get_running_loop().call_later(HAND_OVER_S, self._hand_over)
        gathered.append(entry)

    async def aclose(self) -> None:
        """Write what waits, for as long as CLOSE_S at most."""
        self._hand_over()
        thread, batches = self._thread, self._batches
        if thread is not None:
            self._thread, self._batches = None, Batches()
            batches.put(None)
            await asyncio.to_thread(thread.join, CLOSE_S)

    def _hand_over(self) -> None:
        if not self._gathered:
            return
        if self._thread is None:
            # A daemon: a write that never returns must not keep the process.
            self._thread = threading.Thread(
                target=self._write_all, args=(self._batches,), name="access log", daemon=True
            )
            self._thread.start()
        gathered, self._gathered = self._gathered, []
        self._batches.put(gathered)

    def _drop(self) -> None:
        self._dropped_here += 1
        if not self._has_said:
            self._has_said = True
            logger.warning("The access log is not read fast enough: lines are dropped")

    def _write_all(self, batches: Batches) -> None:
        """The thread: the batches, one after the other."""
        while (batch := batches.get()) is not None:
            if not self._is_broken:
                offset = time.time() - perf_counter()
                line = self._line
                text = "".join([line(entry, entry.ended_at + offset) for entry in batch])
                try:
                    for lines in _whole_lines(text.encode()):
                        _write(self._descriptor, lines)
                except OSError as error:
                    self._is_broken = True
                    logger.warning("The access log cannot be written any more: %s", error)
            with self._counts:
                if self._is_broken:
                    self._dropped_there += len(batch)
                self._done += len(batch)


def _whole_lines(text: bytes) -> Iterator[bytes]:
    """Yield the lines of `text`, as many together as stay together in a pipe."""
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + LINE_BYTES_MAX) + 1
        if end:
            yield text[start:end]
        else:
            end = text.index(b"\n", start) + 1
            yield text[start : start + LINE_BYTES_MAX - len(CUT)] + CUT
        start = end


def _write(descriptor: int, text: bytes) -> None:
    """Write all of it, also where somebody made the descriptor non-blocking."""
    view = memoryview(text)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select((), (descriptor,), ())
