"""A real cache on a real store, and stored responses to put into it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tidegate.cache import Cache, open_cache
from tidegate.cache.places import Place
from tidegate.cache.stored import Stored
from tidegate.config import CacheStore
from tidegate.http import Headers
from tidegate.store import Store

OpenCache = Callable[..., Awaitable[Cache]]


@pytest.fixture
async def opened_cache(valkey: Store) -> AsyncIterator[OpenCache]:
    """`opened_cache(**settings)`: a cache as a worker has it; several are several workers."""
    async with AsyncExitStack() as opened:

        async def open_one(**settings: Any) -> Cache:
            return await opened.enter_async_context(
                await open_cache(CacheStore(**settings), valkey)
            )

        yield open_one


@pytest.fixture
def place() -> Callable[..., Place]:
    def made(target: bytes = b"/x", tenant: str | None = "acme", claims: bytes = b"") -> Place:
        return Place(tenant, b"shop/all", "http", b"shop.test", target, claims)

    return made


@pytest.fixture
def entry() -> Callable[..., Stored]:
    base = Stored(
        status=200,
        headers=Headers([(b"content-type", b"text/plain"), (b"date", b"now")]),
        request_time=1000.0,
        response_time=1000.5,
        initial_age_s=0.5,
        lifetime_s=60.0,
        body_length=5,
        body=b"hello",
        generation=b"-,-,-",
    )
    return lambda **changes: replace(base, **changes)
