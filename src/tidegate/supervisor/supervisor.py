"""Keeps every slot filled: starts, watches, replaces and ends the workers and their companions.

SIGHUP replaces the workers one after the other, each new one serving before its predecessor is
told to drain; SIGTERM or SIGINT drains all, a second one cuts. A worker that ends by itself is
replaced, with backoff while that keeps happening; one whose event loop hangs is ended first. A
snapshot that cannot be loaded, or on which the first replacement does not come up, changes nothing.
A companion (the control process) is kept alike, but never decides whether traffic is served.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.supervisor.backoff import restart_delay_s
from tidegate.supervisor.hangs import end_hanging
from tidegate.supervisor.listeners import Listener
from tidegate.supervisor.signals import handled, has_terminal
from tidegate.supervisor.worker_process import WorkerFailed, WorkerProcess

log: Final = logging.getLogger("tidegate.supervisor")

EXIT_STATUS_S: Final = 0.01
"""A dying process closes its pipes before its exit status can be read; this much more and the log
can say how it ended. Connections queue meanwhile."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the supervisor waits for what."""

    ready_s: float = 30.0
    """A start takes about a second; an embedded store with a large log takes longer."""
    drain_s: float = 30.0
    drain_grace_s: float = 5.0
    """A worker bounds its own drain; one that still lives this much later hangs."""
    lived_s: float = 10.0
    """A worker that lived this long failed for a new reason: backoff begins anew."""
    restart_delay_s_max: float = 15.0
    silence_s: float = 30.0
    """A process whose event loop has not turned for so long hangs, and is ended."""


@dataclass(frozen=True, slots=True)
class Companion:
    """One more process beside the workers. It starts after them, and may fail without them."""

    name: str
    command: tuple[str, ...]
    listener: Listener


@dataclass(slots=True, eq=False)
class _Slot:
    name: str
    command: tuple[str, ...]
    listener: Listener
    lock: asyncio.Lock
    worker: WorkerProcess | None = None
    since_s: float = 0.0
    failures: int = 0

    def fill(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self.since_s = time.monotonic()


class Supervisor:
    """Runs one worker on each listener until it is told to stop."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        command: Sequence[str],
        snapshot: bytes,
        reload: Callable[[], bytes],
        bounds: Bounds | None = None,
        companions: Sequence[Companion] = (),
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """`snapshot` is what the workers run; `reload` returns the one for their replacements,
        or raises if there is none that is valid. `on_replaced` is called once all run on it.
        """
        self._bounds = bounds or Bounds()
        self._reload = reload
        self._on_replaced = on_replaced
        self._snapshot = snapshot
        self._workers = [
            _Slot("Worker", tuple(command), listener, asyncio.Lock()) for listener in listeners
        ]
        # Companions come last: what a new snapshot is worth is found out on a worker.
        self._slots = self._workers + [
            _Slot(companion.name, companion.command, companion.listener, asyncio.Lock())
            for companion in companions
        ]
        self._leaving: dict[WorkerProcess, asyncio.Task[None]] = {}
        # Under nohup a closed terminal shall change nothing.
        self._ends_with_terminal = (
            signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and has_terminal()
        )
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self._replacing = asyncio.Event()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT. Raises WorkerFailed if the first start fails."""
        with handled(
            {
                signal.SIGTERM: self.stop,
                signal.SIGINT: self.stop,
                signal.SIGHUP: self._hung_up,
            }
        ):
            work = asyncio.create_task(self._work(on_ready))
            stopped = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, stopped):
                    task.cancel()
                await asyncio.wait((work, stopped))
                await self._end_all()
        if not work.cancelled():
            work.result()

    def stop(self) -> None:
        """Drain and end; called again, cut what is still open."""
        if self._stopping.is_set():
            self._cutting.set()
        self._stopping.set()

    def replace_workers(self) -> None:
        """Load the snapshot anew and replace every worker. Calls during a round make one more."""
        self._replacing.set()

    def _hung_up(self) -> None:
        """SIGHUP means `reload`, but a closed terminal sends it too: then nobody could stop us."""
        if self._ends_with_terminal and not has_terminal():
            self.stop()
        else:
            self.replace_workers()

    async def _work(self, on_ready: Callable[[], None]) -> None:
        try:
            async with asyncio.TaskGroup() as starts:
                for slot in self._workers:
                    starts.create_task(self._fill(slot, self._snapshot, is_first=True))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        on_ready()
        async with asyncio.TaskGroup() as keepers:
            for slot in self._slots:
                keepers.create_task(self._keep_filled(slot))
            keepers.create_task(self._replace_when_told())
            keepers.create_task(end_hanging(self._serving, self._bounds.silence_s))

    async def _fill(self, slot: _Slot, snapshot: bytes, *, is_first: bool = False) -> None:
        slot.fill(
            await WorkerProcess.start(
                slot.command,
                slot.listener.socket,
                snapshot,
                self._bounds.ready_s,
                is_first=is_first,
            )
        )

    def _serving(self) -> Iterable[WorkerProcess]:
        return [
            slot.worker
            for slot in self._slots
            if slot.worker is not None and not slot.worker.ended.is_set()
        ]

    async def _keep_filled(self, slot: _Slot) -> None:
        while True:
            worker = slot.worker
            if worker is not None:
                await worker.ended.wait()
                if slot.worker is not worker:  # it was replaced and told to drain
                    continue
                await self._note_end(slot, worker)
            await self._refill(slot, worker)

    async def _note_end(self, slot: _Slot, worker: WorkerProcess) -> None:
        self._see_off(worker)
        await asyncio.sleep(EXIT_STATUS_S)
        log.warning("%s %d %s; starting another", slot.name, worker.pid, worker.how_it_ended)
        lived = time.monotonic() - slot.since_s >= self._bounds.lived_s
        slot.failures = 0 if lived else slot.failures + 1

    async def _refill(self, slot: _Slot, worker: WorkerProcess | None) -> None:
        while slot.worker is worker:
            await asyncio.sleep(restart_delay_s(slot.failures, self._bounds.restart_delay_s_max))
            async with slot.lock:
                if slot.worker is worker:  # else a new snapshot has filled the slot meanwhile
                    await self._try_refill(slot)

    async def _try_refill(self, slot: _Slot) -> None:
        try:
            if slot.failures > 1:
                slot.listener.step_back()
            await self._fill(slot, self._snapshot)
        except (WorkerFailed, OSError) as failure:
            slot.failures += 1
            log.error("%s did not start: %s", slot.name, failure)

    async def _replace_when_told(self) -> None:
        while True:
            await self._replacing.wait()
            if self._leaving:  # at most two processes a slot
                await asyncio.wait(self._leaving.values())
            self._replacing.clear()
            try:
                snapshot = self._reload()
            except Exception as error:  # whatever is wrong with it, nothing changes
                log.error("The configuration stays as it is: %s", error)
                continue
            await self._replace_all(snapshot)

    async def _replace_all(self, snapshot: bytes) -> None:
        behind: list[_Slot] = []
        for slot in self._slots:
            async with slot.lock:
                worker = slot.worker
                try:
                    await self._fill(slot, snapshot)
                except (WorkerFailed, OSError) as failure:
                    if snapshot is not self._snapshot:
                        log.error("The configuration stays as it is; a worker said: %s", failure)
                        return
                    log.error("%s was not replaced: %s", slot.name, failure)
                    behind.append(slot)
                    continue
                self._snapshot = snapshot
                if worker is not None:
                    self._see_off(worker)
        self._tell_of_round(behind)

    def _tell_of_round(self, behind: Sequence[_Slot]) -> None:
        count = len(self._workers)
        workers = f"{count} worker{'s' if count != 1 else ''}"
        if not behind:
            self._on_replaced()
            log.info("Replaced %s", workers)
            return
        replaced = count - sum(slot in self._workers for slot in behind)
        log.error("Replaced %d of %s; not replaced: %s", replaced, workers, _named(behind))

    def _see_off(self, worker: WorkerProcess) -> None:
        """Let it finish what it has in flight, without waiting for it."""
        if worker not in self._leaving:
            self._leaving[worker] = asyncio.create_task(self._drained(worker))

    async def _drained(self, worker: WorkerProcess) -> None:
        worker.drain()
        try:
            async with asyncio.timeout(self._bounds.drain_s + self._bounds.drain_grace_s):
                await worker.wait()
        except TimeoutError:
            log.error("Process %d did not drain in time; it is cut", worker.pid)
            worker.kill()
            await worker.wait()
        finally:
            del self._leaving[worker]

    async def _end_all(self) -> None:
        for slot in self._slots:
            slot.listener.close()
            if slot.worker is not None:
                self._see_off(slot.worker)
        if self._leaving:
            cutting = asyncio.create_task(self._cut_when_told())
            await asyncio.wait(self._leaving.values())
            cutting.cancel()

    async def _cut_when_told(self) -> None:
        await self._cutting.wait()
        for worker in self._leaving:
            worker.kill()


def _named(slots: Iterable[_Slot]) -> str:
    return ", ".join(
        f"{slot.name} {slot.worker.pid if slot.worker else ''}".rstrip() for slot in slots
    )
