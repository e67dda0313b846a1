"""The control process: the admin API behind uvicorn, on the socket that its supervisor lends it.

Started as `python -m tidegate.control_process` by the supervisor, never by hand. It is tied to its
supervisor as a worker is (see worker.py), and apart from the workers so that nothing that is asked
of it, nor its end, delays or fails a proxied request.
"""

import asyncio
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final

import uvicorn
import uvloop
from fastapi import FastAPI

from tidegate import __version__
from tidegate.control import BoundedProtocol, application
from tidegate.gateway import Node, announced, metrics_directory
from tidegate.policies import PolicyNotLoaded
from tidegate.store import StoreRefused, open_store
from tidegate.supervisor.assignment import Assignment, taken_over
from tidegate.supervisor.link import SupervisorLink
from tidegate.telemetry import written_apart
from tidegate.upstream import TargetNotLoaded

EXPLAINED: Final = (PolicyNotLoaded, StoreRefused, TargetNotLoaded)
"""Errors whose text says what to do."""
STORE_WAIT_S: Final = 0.5
"""It answers without a store too, if only to say that there is none."""
KEPT_S: Final = 5
"""How long a connection that was answered may stay without a request."""


class Server(uvicorn.Server):
    """uvicorn that leaves signals to us, and says when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening()


def main() -> int:
    if (started := taken_over()) is None:
        return 1
    link, assignment = started
    return uvloop.run(_run(link, assignment))


async def _run(link: SupervisorLink, assignment: Assignment) -> int:
    async with AsyncExitStack() as stack:
        try:
            app = await _opened(assignment, stack, is_first_start=link.is_first_start)
        except EXPLAINED as error:
            link.failed(str(error))
            return 1
        await _serve(link, app, assignment.config.listen.bounds.drain_timeout)
    return 0


async def _opened(
    assignment: Assignment, stack: AsyncExitStack, *, is_first_start: bool
) -> FastAPI:
    """Return the application with its gateway open; `stack` closes it."""
    token, config = assignment.admin_token, assignment.config
    assert token is not None  # noqa: S101 without one the supervisor has no control process
    store = await open_store(config.redis, assignment.data_dir, wait_s=STORE_WAIT_S, require=False)
    stack.push_async_callback(store.aclose)
    app = application(
        config,
        store,
        admin_token=token,
        data_dir=assignment.data_dir,
        app_name=assignment.app_name,
    )
    # Not left to uvicorn, which would tell a policy that does not load by a traceback.
    await stack.enter_async_context(app.router.lifespan_context(app))
    await stack.enter_async_context(announced(store, Node.here("control", __version__, config)))
    if config.webhooks is not None:
        from tidegate.webhooks.courier import delivering

        courier = await stack.enter_async_context(delivering(store, config.webhooks))
        metrics = metrics_directory(assignment.data_dir)
        await stack.enter_async_context(
            written_apart(metrics, courier.readings, continues=not is_first_start)
        )
    return app


async def _serve(link: SupervisorLink, app: FastAPI, drain_s: float) -> None:
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        timeout_keep_alive=KEPT_S,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever connects is who asks: nothing stands before the admin's port that we know of.
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(drain_s),
    )
    server = Server(config, link.ready)

    def stop() -> None:
        link.takes_no_more()
        server.should_exit = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    link.when_alone(stop)
    await server.serve([link.listener])


if __name__ == "__main__":
    sys.exit(main())
