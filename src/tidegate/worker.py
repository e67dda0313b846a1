"""One worker: a gateway behind the native door, on the socket its supervisor lends it.

Started as `python -m tidegate.worker` by the supervisor, never by hand. It says when it serves or
why it cannot, drains on SIGTERM, and drains as well when the supervisor is gone, so that no stale
worker keeps a port.
"""

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from tidegate import __version__
from tidegate.config import ConfigError
from tidegate.edge.collector import calm_collector
from tidegate.edge.native import NativeServer
from tidegate.gateway import (
    Gateway,
    Node,
    announced,
    connection_readings,
    webhooks_delivered,
)
from tidegate.http import GatewayError
from tidegate.policies import PolicyNotLoaded
from tidegate.store import StoreRefused
from tidegate.supervisor.assignment import Assignment, taken_over
from tidegate.supervisor.link import SupervisorLink
from tidegate.supervisor.open_files import files_needed, raise_open_files
from tidegate.upstream import TargetNotLoaded

log: Final = logging.getLogger("tidegate.worker")

EXPLAINED: Final = (
    ConfigError,
    GatewayError,
    PolicyNotLoaded,
    StoreRefused,
    TargetNotLoaded,
)
"""Errors whose text says what to do; any other is shown with its traceback."""


def main() -> int:
    if (started := taken_over()) is None:
        return 1
    link, assignment = started
    needed = files_needed(assignment.config)
    if (allowed := raise_open_files(needed)) < needed:
        log.warning("This process may open %d files; its bounds need %d", allowed, needed)
    return uvloop.run(_run(link, assignment))


async def _run(link: SupervisorLink, assignment: Assignment) -> int:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    link.when_alone(stopping.set)
    async with AsyncExitStack() as stack:
        try:
            gateway = await stack.enter_async_context(
                Gateway(
                    assignment.config,
                    data_dir=assignment.data_dir,
                    require_store=link.is_first_start,
                    log_to=sys.stdout.fileno(),
                    admin_token=assignment.admin_token,
                )
            )
            server = NativeServer(gateway)
            gateway.telemetry.sources.append(connection_readings(lambda: server.connections))
            await server.start(link.listener)
            node = Node.here("worker", __version__, assignment.config)
            degraded = gateway.parts.limiter.degraded
            degraded.note_workers(assignment.workers)

            def note_serving(nodes: int) -> None:
                degraded.note_workers(max(nodes, assignment.workers))  # some may not be up yet

            await stack.enter_async_context(announced(gateway.store, node, note_serving))
            if assignment.admin_token is None:  # there is no control process that delivers
                await stack.enter_async_context(webhooks_delivered(gateway))
        except EXPLAINED as error:
            link.failed(str(error))
            return 1
        except Exception as error:
            log.exception("The worker cannot start")
            link.failed(f"{type(error).__name__}: {error}")
            return 1
        stack.enter_context(calm_collector())
        link.ready()
        await stopping.wait()
        gateway.is_draining = True
        link.takes_no_more()
        await server.drain(assignment.config.listen.bounds.drain_timeout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
