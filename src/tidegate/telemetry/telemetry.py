"""One worker's telemetry as a whole: what is counted, and the two tasks that carry it away.

One writes the numbers to the worker's file each second, in a thread; the other flushes usage and
decision records to the store, so that a slow store does not make the numbers old. What lies outside
this room (pools, connections, the store) is handed in: as `sources`, asked once a second.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from tidegate.telemetry.access_log import AccessLog
from tidegate.telemetry.decisions import DecisionSamples
from tidegate.telemetry.families import SEPARATOR, Series, Value
from tidegate.telemetry.meters import BOUNDS_S, Histogram, Meter, new_histogram
from tidegate.telemetry.recorder import Recorder
from tidegate.telemetry.usage import Store, UsageFlush
from tidegate.telemetry.worker_files import WorkerFile

logger = logging.getLogger("tidegate.telemetry")

FLUSH_S: Final = 1.0
LAG_SAMPLE_S: Final = 0.25

Reading = tuple[str, tuple[str, ...], Value]
"""A metric, the values of its labels, its value now."""
Source = Callable[[], Iterator[Reading]]


class MeasuredStore(Store, Protocol):
    """The store with what is measured of it."""

    @property
    def is_up(self) -> bool: ...


class Telemetry:
    """Made for a gateway; `start` and `aclose` on its loop, as often as it opens and closes.

    `sources` may be added to, until `aclose` forgets them: they hold on to what they tell of.
    """

    def __init__(
        self, log: AccessLog | None, samples: DecisionSamples | None, usage_kept_s: float
    ) -> None:
        self.recorder = Recorder(log, samples)
        self.sources: list[Source] = []
        self._log = log
        self._samples = samples
        self._usage = UsageFlush(usage_kept_s)
        self._lag: Histogram = new_histogram()
        self._trips: Histogram = new_histogram()
        self._file: WorkerFile | None = None
        self._store: MeasuredStore | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: set[tuple[str, type[Exception]]] = set()
        """What has failed, and how: said once each."""
        self._has_failed_to_write = False

    def start(
        self, store: MeasuredStore, directory: Path | None = None, *, continues: bool = False
    ) -> None:
        """Begin to flush; with a `directory`, write the numbers there for `exposition`."""
        self._store = store
        if directory is not None:
            try:
                self._file = WorkerFile(directory, continues=continues)
            except OSError as error:
                logger.warning("There are no metrics: %s cannot be written: %s", directory, error)
        flushing = self._each_second(self._flush)
        self._tasks = [asyncio.create_task(flushing, name="usage flush")]
        if self._file is not None:
            writing = self._each_second(lambda: self._guarded("metrics", self._write))
            self._tasks.append(asyncio.create_task(writing, name="metrics"))
            self._tasks.append(asyncio.create_task(self._sample_lag(), name="loop lag"))

    def observe_trip(self, seconds: float) -> None:
        """Take how long a trip to the store took: once for each write, not for each request."""
        self._trips[bisect_left(BOUNDS_S, seconds)] += 1
        self._trips[-1] += seconds
        self.recorder.last_trip_s = seconds

    async def aclose(self) -> None:
        """Flush what is left. The store must still be open."""
        tasks, self._tasks = self._tasks, []
        file, self._file = self._file, None
        try:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
                await self._flush()
            if self._log is not None:
                await self._log.aclose()
        finally:
            if file is not None:
                self._close(file)
            self.sources.clear()

    def _close(self, file: WorkerFile) -> None:
        last: Series | None = None
        try:
            last = self.series()
        except Exception as error:
            self._note_failure("metrics", error)
        with suppress(OSError):
            file.close(last)

    def series(self) -> Series:
        """Return everything counted so far, and what the sources say now."""
        series: Series = {}
        for name, labels, value in self._readings():
            series.setdefault(name, {})[SEPARATOR.join(labels)] = value
        return series

    async def _each_second(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await act()
            await asyncio.sleep(FLUSH_S)

    async def _guarded(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        """Let no failure of one round end the rounds to come, nor the rest of this one."""
        try:
            await act()
        except Exception as error:
            self._note_failure(name, error)

    def _note_failure(self, name: str, error: Exception) -> None:
        kind = name, type(error)
        if kind not in self._failures:
            self._failures.add(kind)
            logger.error("Telemetry goes on, but lost some %s", name, exc_info=error)

    async def _flush(self) -> None:
        await self._guarded("usage", self._flush_usage)
        await self._guarded("decision records", self._flush_samples)

    async def _flush_usage(self) -> None:
        assert self._store is not None  # noqa: S101 - there is no task before `start`
        await self._usage.flush(self.recorder.folded(), self._store)

    async def _flush_samples(self) -> None:
        assert self._store is not None  # noqa: S101 - see above
        if self._samples is not None and self._store.is_up:
            await self._samples.flush(self._store)

    async def _write(self) -> None:
        assert self._file is not None  # noqa: S101 - see `start`
        try:
            await asyncio.to_thread(self._file.write, self.series())
            self._has_failed_to_write = False
        except OSError as error:
            if not self._has_failed_to_write:
                logger.warning("The metrics cannot be written now: %s", error)
            self._has_failed_to_write = True

    async def _sample_lag(self) -> None:
        lag = self._lag
        while True:
            asked_at = time.perf_counter()
            await asyncio.sleep(LAG_SAMPLE_S)
            late_s = max(0.0, time.perf_counter() - asked_at - LAG_SAMPLE_S)
            lag[bisect_left(BOUNDS_S, late_s)] += 1
            lag[-1] += late_s

    def _readings(self) -> Iterator[Reading]:
        recorder = self.recorder
        for meter in recorder.folded():
            yield from _of_route(meter)
        for labels, count in recorder.limit_refusals.items():
            yield "tidegate_limit_refusals", labels, count
        yield "tidegate_store_trip_seconds", (), list(self._trips)
        yield "tidegate_loop_lag_seconds", (), list(self._lag)
        yield "tidegate_workers", (), 1
        yield "tidegate_cpu_seconds", (), time.process_time()
        yield "tidegate_store_up", (), int(self._store is not None and self._store.is_up)
        yield "tidegate_access_log_dropped", (), 0 if self._log is None else self._log.dropped
        yield "tidegate_usage_lost", (), self._usage.lost + recorder.usage_lost
        dropped = 0 if self._samples is None else self._samples.dropped
        yield "tidegate_decision_records_dropped", (), dropped
        for source in self.sources:
            yield from source()


def _of_route(meter: Meter) -> Iterator[Reading]:
    route = meter.service, meter.route
    for source, statuses in meter.statuses.items():
        for status, count in statuses.items():
            yield "tidegate_requests", (*route, str(status), source), count
    for part, histogram in (
        ("gateway", meter.gateway_s),
        ("store", meter.store_s),
        ("upstream", meter.upstream_s),
    ):
        yield "tidegate_request_seconds", (*route, part), list(histogram)
    yield "tidegate_response_bytes", route, meter.bytes
    yield "tidegate_requests_aborted", route, meter.aborted
    yield "tidegate_limit_decisions", (*route, "admitted"), meter.limited - meter.refused
    yield "tidegate_limit_decisions", (*route, "refused"), meter.refused
    for verdict, count in meter.cache.items():
        yield "tidegate_cache_requests", (*route, verdict), count
