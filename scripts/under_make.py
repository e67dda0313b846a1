"""Run a command as the recipe of a make target, and end it when make is told to end.

GNU make passes a SIGTERM on to its recipe, but of a SIGINT it believes that the whole terminal
group got it: sent to make alone, it blocks SIGINT and waits for ever. So make is watched: gone, or
with SIGINT blocked, means end. The command leaves the terminal's process group, so that a
Ctrl-C reaches this process alone and is passed on exactly once.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import Empty, SimpleQueue

LOOK_INTERVAL_S = 0.2


def main(command: list[str]) -> int:
    make = os.getppid()
    # A queue that a signal handler may fill at any moment; an Event could meet its own lock.
    signals: SimpleQueue[int] = SimpleQueue()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda received, _: signals.put(received))
    child = subprocess.Popen(command, start_new_session=True)
    is_told = False
    while child.poll() is None:
        try:
            signals.get(timeout=LOOK_INTERVAL_S)
        except Empty:
            if is_told or not has_ended(make):
                continue
        # Each signal is passed on: a second one may mean "at once".
        child.terminate()
        is_told = True
    if is_told:
        return 0
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def has_ended(make: int) -> bool:
    if os.getppid() != make:
        return True
    try:
        status = Path(f"/proc/{make}/status").read_text()
    except OSError:  # no /proc (macOS): a SIGINT to make alone goes unseen there
        return False
    blocked = next(int(line.split()[1], 16) for line in status.splitlines() if "SigBlk" in line)
    return bool(blocked >> (signal.SIGINT - 1) & 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
