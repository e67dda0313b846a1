"""Who listens on a TCP port, for the one error message that needs it.

Linux: the socket's inode from /proc/net/tcp, then the process that has it open from /proc/*/fd
(proc(5)); only one's own processes can be seen without privileges. Elsewhere `lsof`, if it is
there. Best effort: None means that nobody could be named, never that the port is free.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LISTEN_STATE: Final = "0A"
"""TCP_LISTEN in include/net/tcp_states.h."""
_LSOF_TIMEOUT_S: Final = 2.0
_COMMAND_LENGTH_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens on the port. The lowest pid, where several share it."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


def port_holder(port: int) -> Holder | None:
    """Return a process that listens on `port`, or None if none can be named."""
    if Path("/proc/net/tcp").exists():
        return _holder_from_proc(port)
    return _holder_from_lsof(port)


def _holder_from_proc(port: int) -> Holder | None:
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not links:
        return None
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if any(link in links for link in _open_files(pid)):
            return Holder(pid, _command(pid))
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    suffix = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(suffix) and fields[3] == _LISTEN_STATE:
                yield fields[9]


def _open_files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:  # another user's process, or one that has just ended
        return
    for name in names:
        try:
            yield os.readlink(f"{directory}/{name}")
        except OSError:
            continue


def _command(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown"
    command = " ".join(part.decode(errors="replace") for part in arguments if part)
    return command[:_COMMAND_LENGTH_MAX] or "unknown"


def _holder_from_lsof(port: int) -> Holder | None:
    try:
        answer = subprocess.run(  # noqa: S603 fixed arguments and a number
            ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],  # noqa: S607 on PATH
            capture_output=True,
            text=True,
            timeout=_LSOF_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = {line[0]: line[1:] for line in reversed(answer.splitlines()) if line}
    if "p" not in fields:
        return None
    return Holder(int(fields["p"]), fields.get("c", "unknown"))
