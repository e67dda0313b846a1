"""Run a command as the recipe of a make target, and end it when make is told to end.

GNU make passes a SIGTERM on to its recipe, but of a SIGINT it believes that the whole terminal
group got it: sent to make alone, it blocks SIGINT and waits for ever. So the command runs in a
session of its own (the terminal's Ctrl-C reaches this process alone, and is passed on exactly
once), and make is watched: gone, or with SIGINT blocked, means end.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

LOOK_INTERVAL_S = 0.2


def main(command: list[str]) -> int:
    make = os.getppid()
    asked_to_end = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: asked_to_end.set())
    child = subprocess.Popen(command, start_new_session=True)
    while child.poll() is None:
        if asked_to_end.wait(LOOK_INTERVAL_S) or has_ended(make):
            child.terminate()
            child.wait()
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
