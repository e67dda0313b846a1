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
from contextlib import contextmanager
from typing import Final

import uvicorn
import uvloop

from tidegate import __version__
from tidegate.control import BoundedProtocol, application
from tidegate.gateway import Node, announced
from tidegate.store import StoreRefused, open_store
from tidegate.supervisor.assignment import Assignment, taken_over
from tidegate.supervisor.link import SupervisorLink

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
    token = assignment.admin_token
    assert token is not None  # noqa: S101 without one the supervisor has no control process
    try:
        store = await open_store(
            assignment.config.redis, assignment.data_dir, wait_s=STORE_WAIT_S, require=False
        )
    except StoreRefused as error:
        link.failed(str(error))
        return 1
    try:
        app = application(
            assignment.config,
            store,
            admin_token=token,
            data_dir=assignment.data_dir,
            app_name=assignment.app_name,
        )
        async with announced(store, Node.here("control", __version__, assignment.config)):
            await _serve(link, app, assignment.config.listen.bounds.drain_timeout)
    finally:
        await store.aclose()
    return 0


async def _serve(link: SupervisorLink, app: object, drain_s: float) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own name for an ASGI application is narrower
        http=BoundedProtocol,
        timeout_keep_alive=KEPT_S,
        lifespan="on",
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
