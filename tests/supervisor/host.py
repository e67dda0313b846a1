"""A program that runs a Supervisor over tiny workers: host.py PORT WORKERS SNAPSHOT_FILE BOUNDS."""

import asyncio
import json
import logging
import sys
from pathlib import Path

from tidegate.supervisor import Bounds, ListenFailed, Supervisor, WorkerFailed, open_listeners

TINY_WORKER = Path(__file__).with_name("tiny_worker.py")


def main(port: str, workers: str, snapshot: str, bounds: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def load() -> bytes:
        orders = Path(snapshot).read_bytes()
        json.loads(orders)
        return orders

    try:
        listeners = open_listeners("127.0.0.1", int(port), int(workers))
        supervisor = Supervisor(
            listeners,
            [sys.executable, str(TINY_WORKER)],
            load(),
            load,
            Bounds(**json.loads(bounds)),
        )
        address = listeners[0].address
        asyncio.run(supervisor.run(lambda: print(f"ready {address[1]}", flush=True)))
    except (ListenFailed, WorkerFailed) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
