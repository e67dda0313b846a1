"""A program that runs a Supervisor over tiny workers: host.py PORT WORKERS SNAPSHOT_FILE BOUNDS.

With `companion` among the first orders there is one more process, on a port of its own.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

from tidegate.supervisor import (
    Bounds,
    Companion,
    ListenFailed,
    Supervisor,
    WorkerFailed,
    open_listener,
    open_listeners,
)

TINY_WORKER = Path(__file__).with_name("tiny_worker.py")


def main(port: str, workers: str, snapshot: str, bounds: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def load() -> bytes:
        orders = Path(snapshot).read_bytes()
        json.loads(orders)
        return orders

    try:
        listeners = open_listeners("127.0.0.1", int(port), int(workers))
        command = (sys.executable, str(TINY_WORKER))
        companions = []
        if "companion" in json.loads(load()):
            listener = open_listener("127.0.0.1", 0, "--admin-")
            companions = [Companion("The companion", (*command, "--role=companion"), listener)]
        supervisor = Supervisor(
            listeners,
            command,
            load(),
            load,
            Bounds(**json.loads(bounds)),
            companions,
            lambda: logging.info("All run on it"),
        )
        ports = [listeners[0].address[1], *(one.listener.address[1] for one in companions)]
        asyncio.run(supervisor.run(lambda: print("ready", *ports, flush=True)))
    except (ListenFailed, WorkerFailed) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
