"""`serve --dev`: a saved file is applied at once, or what is wrong with it is said.

Watches folders, not files, since editors save by renaming a new file over the old one; what counts
is whether the content of a source has changed. Applying is the supervisor's ordinary reload, so
that what does not load, or does not start, changes nothing.
"""

import asyncio
import hashlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

log: Final = logging.getLogger("tidegate.cli")

LOOK_MS: Final = 1000
"""So often is looked without being told: a folder may be new, a file system may tell nothing."""
QUIET_MS: Final = 50
"""A save is several steps; it is over when nothing more has happened for so long."""
NAMES_SHOWN_MAX: Final = 5


class Watch:
    """Watches the sources of the configuration at `path` until the loop ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[Path, bytes | None] = {}
        self._watching: asyncio.Task[None] | None = None

    def then(self, announce: Callable[[], None]) -> Callable[[], None]:
        """Return what announces and begins to watch."""
        # Cached bytecode is told apart by whole seconds and size: a quick save could be missed.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        self._seen = self._contents()

        def start() -> None:
            announce()
            log.info("Watching %s", _names(file for file, content in self._seen.items() if content))
            self._watching = asyncio.get_running_loop().create_task(self._watch())

        return start

    async def _watch(self) -> None:
        try:
            while True:
                await self._until_folders_change()
        except (OSError, RuntimeError) as error:
            log.error("No longer watching the configuration: %s", error)

    async def _until_folders_change(self) -> None:
        from watchfiles import awatch

        folders = _folders(self._seen)
        async for _ in awatch(
            *folders,
            watch_filter=None,
            recursive=False,
            step=QUIET_MS,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
        ):
            self._look()
            if _folders(self._seen) != folders:
                return

    def _look(self) -> None:
        changed = [file for file, content in self._seen.items() if _digest(file) != content]
        if changed:
            self._seen = self._contents()
            log.info("Saved: %s", _names(changed))
            # As `kill -HUP` does, so that there is one way to reload.
            signal.raise_signal(signal.SIGHUP)

    def _contents(self) -> dict[Path, bytes | None]:
        """The digest of each source; None for one that is not there."""
        from tidegate.config import ConfigError
        from tidegate.config.sources import source_files

        try:
            files = source_files(self._path)
        except ConfigError:  # what it named while it could be read still counts
            files = set(self._seen) or {self._path.absolute()}
        return {file: _digest(file) for file in sorted(files)}


def _digest(file: Path) -> bytes | None:
    try:
        # Reading a pipe or a device would stand still, perhaps for ever.
        return hashlib.sha256(file.read_bytes()).digest() if file.is_file() else None
    except OSError:
        return None


def _folders(files: Iterable[Path]) -> set[Path]:
    """The folders in which the files lie, and those in which they really lie; the nearest that
    there are."""
    places = {place for file in files for place in (file.parent, file.resolve().parent)}
    return {next(folder for folder in (p, *p.parents) if folder.is_dir()) for p in places}


def _names(files: Iterable[Path]) -> str:
    names = [os.path.relpath(file) for file in files if file.name != ".env" or file.exists()]
    rest = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {rest} more" if rest > 0 else "")
