"""Finds processes whose event loop no longer turns: alive, connected to, and answering nobody.

Silence is counted in ticks of the supervisor's own loop, never read off a clock. A machine that
was suspended, a container that was paused or a group that was stopped (Ctrl-Z) counts as one tick,
however long it took; and on a machine too busy for anything, ticks come later too.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tidegate.supervisor.worker_process import WorkerProcess

log: Final = logging.getLogger("tidegate.supervisor")

TICK_S_MAX: Final = 1.0
TICKS_MIN: Final = 4
"""So that one late beat among a few is no silence."""


class Silences:
    """For how many ticks in a row each process has given no beat."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[int, int]] = {}

    def tick(self, beats: Mapping[int, int]) -> dict[int, int]:
        """Take the beats of each process so far; return the ticks of its silence."""
        ticks = {}
        for pid, count in beats.items():
            before, silent = self._heard.get(pid, (count, 0))
            ticks[pid] = silent + 1 if count == before and pid in self._heard else 0
        self._heard = {pid: (beats[pid], silent) for pid, silent in ticks.items()}
        return ticks


async def end_hanging(processes: Callable[[], Iterable[WorkerProcess]], silence_s: float) -> None:
    """Kill each of the processes that is silent for `silence_s`; runs until cancelled.

    It is first made to say where it hangs, and lives for a tick more: time to write, and to beat.
    """
    tick_s = min(TICK_S_MAX, silence_s / TICKS_MIN)
    ticks_max = math.ceil(silence_s / tick_s)
    silences = Silences()
    while True:
        await asyncio.sleep(tick_s)
        serving = {process.pid: process for process in processes()}
        for pid, ticks in silences.tick({p: serving[p].beats for p in serving}).items():
            if ticks == ticks_max:
                log.error(
                    "Process %d hangs: its event loop has stood still for %g s. It is killed; "
                    "where it stands:",
                    pid,
                    silence_s,
                )
                serving[pid].say_where()
            elif ticks > ticks_max:
                serving[pid].kill()
