"""One worker as its supervisor sees it: a process, a lifeline and a status pipe.

The lifeline is the worker's standard input. The snapshot it is to run comes first, length before
bytes; then nothing, until the supervisor's end closes, however the supervisor died. The status
pipe carries `ready` or `failed` with the reason, then a beat from each turn of the worker's clock;
its end says that the worker takes no new connections (it drains, or it is dead), which is the
moment to fill its slot again.
"""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

LENGTH_BYTES: Final = 8
"""The snapshot's length comes first on the lifeline, big-endian."""
FIRST: Final = "first"
REPLACEMENT: Final = "replacement"
READY: Final = b"ready\n"
FAILED: Final = b"failed\n"
BEAT: Final = b"."
SAY_WHERE: Final = signal.SIGUSR2
"""Makes a process write to standard error where each of its threads is."""
REASON_BYTES_MAX: Final = 64 * 1024
"""What fits a Linux pipe: a worker can always say why and end."""


class WorkerFailed(Exception):
    """A worker did not come up; the text is its own reason, where it could give one."""


class WorkerProcess:
    """A worker that serves. `ended` is set once it takes no new connections."""

    def __init__(self, process: Process, status: asyncio.StreamReader) -> None:
        self.ended = asyncio.Event()
        self.beats = 0
        """Grows while its event loop turns."""
        self._process = process
        self._status = status
        self._watching = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def how_it_ended(self) -> str:
        """What became of it, in words."""
        return _how_it_ended(self._process)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        listener: socket.socket,
        snapshot: bytes,
        ready_timeout_s: float,
        *,
        is_first: bool,
    ) -> Self:
        """Return a worker that serves on `listener`, or raise WorkerFailed and leave no process.

        `is_first` tells it that nobody serves yet: what is missing is then an error to show.
        """
        process, status = await _spawned(command, listener, is_first)
        try:
            async with asyncio.timeout(ready_timeout_s):
                await _hand_over(process, snapshot)
                said = await status.readline()
                if said == READY:
                    return cls(process, status)
                reason = (await status.read(REASON_BYTES_MAX)).decode(errors="replace").strip()
                await process.wait()
        except TimeoutError:
            await _killed(process, status)
            raise WorkerFailed(f"it was not ready within {ready_timeout_s:g} s") from None
        except BaseException:
            await _killed(process, status)
            raise
        raise WorkerFailed(reason or f"it {_how_it_ended(process)} before it was ready")

    def drain(self) -> None:
        """Tell it to finish what is in flight and end."""
        self._signal(signal.SIGTERM)

    def say_where(self) -> None:
        """Have it write where it is, for whoever must find out why it hangs."""
        self._signal(SAY_WHERE)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def wait(self) -> None:
        """Return once the process has ended and is reaped."""
        await asyncio.shield(self._watching)

    async def _watch(self) -> None:
        ended = asyncio.ensure_future(self._process.wait())
        closed = asyncio.ensure_future(self._listen())
        await asyncio.wait((ended, closed), return_when=asyncio.FIRST_COMPLETED)
        self.ended.set()
        await asyncio.wait((ended, closed))
        _close_lifeline(self._process)

    async def _listen(self) -> None:
        """Count beats until the pipe ends."""
        while beats := await self._status.read(REASON_BYTES_MAX):
            self.beats += len(beats)

    def _signal(self, number: signal.Signals) -> None:
        # Not Process.send_signal: it polls first, and takes the exit status of a process that has
        # just died away from the watcher, who then knows no better than 255.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


async def _spawned(
    command: Sequence[str], listener: socket.socket, is_first: bool
) -> tuple[Process, asyncio.StreamReader]:
    reading, writing = os.pipe()
    status = asyncio.StreamReader(limit=REASON_BYTES_MAX)
    # From here on `reading` belongs to the transport, which closes it at the end of the stream.
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(status), os.fdopen(reading, "rb", 0)
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            f"--listen-fd={listener.fileno()}",
            f"--status-fd={writing}",
            f"--start={FIRST if is_first else REPLACEMENT}",
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(listener.fileno(), writing),
            # A terminal's Ctrl-C and hang-up reach the supervisor alone; it tells the workers.
            start_new_session=True,
        )
    except OSError as error:
        raise WorkerFailed(f"the process did not start: {error}") from error
    finally:
        os.close(writing)
    return process, status


async def _hand_over(process: Process, snapshot: bytes) -> None:
    lifeline = process.stdin
    assert lifeline is not None  # noqa: S101 asked for as a pipe
    try:
        lifeline.write(len(snapshot).to_bytes(LENGTH_BYTES, "big") + snapshot)
        await lifeline.drain()
    except ConnectionError:
        return  # it has died already; the status pipe says why


async def _killed(process: Process, status: asyncio.StreamReader) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
    await status.read()
    _close_lifeline(process)


def _close_lifeline(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _how_it_ended(process: Process) -> str:
    code = process.returncode
    if code is None:
        return "takes no new connections"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"
