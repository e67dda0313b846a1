"""The numbers of a process that carries no traffic: written beside the workers', and summed with
theirs. Such a process is no worker, so it has a file of its own but none of their telemetry.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tidegate.telemetry.families import SEPARATOR, Series
from tidegate.telemetry.telemetry import Reading
from tidegate.telemetry.worker_files import WorkerFile

logger: Final = logging.getLogger("tidegate.telemetry")

WRITE_S: Final = 1.0


@asynccontextmanager
async def written_apart(
    directory: Path, readings: Callable[[], Iterable[Reading]], *, continues: bool
) -> AsyncIterator[None]:
    """Write what `readings` tells each second, for as long as the block runs.

    `continues`: as of WorkerFile. Where nothing can be written that is said, and all else goes on.
    """
    try:
        file = await asyncio.to_thread(lambda: WorkerFile(directory, continues=continues))
    except OSError as error:
        logger.warning("These metrics are missing: %s cannot be written: %s", directory, error)
        yield
        return
    writing = asyncio.create_task(_write_forever(file, readings), name="metrics")
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.wait([writing])
        with suppress(OSError):
            file.close(_series(readings))


async def _write_forever(file: WorkerFile, readings: Callable[[], Iterable[Reading]]) -> None:
    while True:
        with suppress(OSError):  # a full disk: the next time may be better
            await asyncio.to_thread(file.write, _series(readings))
        await asyncio.sleep(WRITE_S)


def _series(readings: Callable[[], Iterable[Reading]]) -> Series:
    series: Series = {}
    for name, labels, value in readings():
        series.setdefault(name, {})[SEPARATOR.join(labels)] = value
    return series
