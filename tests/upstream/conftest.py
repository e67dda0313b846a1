"""A scripted upstream and a client of it, on both event loops where a test touches a socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop

from tidegate.config.schema import Route, Service
from tidegate.http import Headers, Request, Response
from tidegate.testing import Answer
from tidegate.testing.scripted_upstream import ScriptedUpstream
from tidegate.upstream import Upstream

Serve = Callable[..., Awaitable[ScriptedUpstream]]
Client = Callable[..., Upstream]


def pytest_asyncio_loop_factories(config, item):
    """Every coroutine of this folder runs on both loops."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(script, **options)` starts a ScriptedUpstream; closed when the test ends."""
    async with AsyncExitStack() as started:

        async def start(*script: Any, **options: Any) -> ScriptedUpstream:
            upstream = (
                ScriptedUpstream(script, **options) if script else ScriptedUpstream(**options)
            )
            return await started.enter_async_context(upstream)

        yield start


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """`client(upstream or url, …, **settings of the service)` makes an Upstream of `test`."""
    async with AsyncExitStack() as made:

        def make(*targets: ScriptedUpstream | str, **settings: Any) -> Upstream:
            urls = tuple(t if isinstance(t, str) else t.url for t in targets)
            service = {"name": "test", "targets": urls, "routes": (Route(name="r"),), **settings}
            upstream = Upstream(Service.model_validate(service))
            made.push_async_callback(upstream.aclose)
            return upstream

        yield make


@pytest.fixture
def ask() -> Callable[..., Request]:
    """`ask(method, path, **fields of the request)` makes a request."""

    def make(method: str = "GET", path: bytes = b"/", **fields: Any) -> Request:
        headers = Headers(fields.pop("headers", ()))
        return Request(method, path, headers, host=b"gateway.test", **fields)

    return make


@pytest.fixture
def read() -> Callable[[Response], Awaitable[bytes]]:
    """Read a response to its end and release it; its body comes back."""

    async def whole(response: Response) -> bytes:
        return (await Answer.of(response)).body

    return whole


@pytest.fixture
def counts() -> Callable[[Upstream], Any]:
    """The counts of a client's only pool."""

    def only(upstream: Upstream) -> Any:
        (pool,) = upstream.counts.values()
        return pool

    return only
