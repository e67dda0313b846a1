"""What the tests of the cache policy ask, and how they read the answers."""

from collections.abc import Awaitable, Callable
from typing import Any

from tidegate.cache import Cache
from tidegate.testing import Kit

CACHED = {"cache": {"default_ttl": 60}}
LARGE = bytes(range(256)) * 4096
"""1 MiB: read and written in four pieces."""
TENANTS = ("acme", "other", "third")

OpenTenants = Callable[..., Awaitable[Kit]]


def cache_of(kit: Kit) -> Cache:
    cache = kit.gateway.parts.cache
    assert cache is not None
    return cache


def told(answer: Any) -> tuple[int, str | None]:
    return answer.status, answer.header("x-cache")


async def answers(kit: Kit, *targets: str, **options: Any) -> list[tuple[int, str | None]]:
    return [told(await kit.get(target, **options)) for target in targets]
