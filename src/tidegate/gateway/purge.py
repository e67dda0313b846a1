"""Forgets what is cached of URLs, of a tenant, or everything; every worker follows within a second.

Needs an open gateway, because it knows how routes are compiled: a URL is looked up as a request for
it would be, so it names host and port as clients do. One write however much there is to forget, and
what was on its way from a service meanwhile is not stored either.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tidegate.cache import Cache, open_cache
from tidegate.cache.places import url_digest
from tidegate.cache.storage import Storage
from tidegate.gateway.gateway import Gateway
from tidegate.http.target import parse_target
from tidegate.policies.forget import route_name
from tidegate.store import StoreRefused, StoreUnavailable

URL_PATTERN: Final = "^https?://[!-~]{1,4096}$"
"""Of a URL to purge, for whoever takes one."""
REACH_WAIT_S: Final = 1.0
"""For a link that is being made again."""


async def purge(gateway: Gateway, *, urls: Sequence[str] = (), tenant: str | None = None) -> None:
    """Forget `urls` of every tenant, or what is `tenant`'s own, or everything if neither is given.

    Raises StoreUnavailable; RouteNotFound or BadRequest for a URL, and nothing is forgotten then.
    """
    digests = [_digest(gateway, url) for url in urls]
    async with _storage(gateway) as storage:
        if digests:
            await storage.purge_urls(digests)
        elif tenant is not None:
            await storage.purge_tenant(tenant)
        else:
            await storage.purge_all()


@asynccontextmanager
async def _storage(gateway: Gateway) -> AsyncIterator[Storage]:
    """The gateway's storage; one for the moment where no route caches by now."""
    held = gateway.parts.cache
    if held is not None:
        yield await _reached(held)
        return
    async with await open_cache(gateway.config.cache, gateway.store) as cache:
        yield await _reached(cache)


async def _reached(cache: Cache) -> Storage:
    """Return the storage of a cache that is there; raise StoreUnavailable, with why it is not."""
    try:
        await cache.connection.wait_up(REACH_WAIT_S)
    except StoreRefused as refusal:
        raise StoreUnavailable(str(refusal)) from None
    return cache.storage


def _digest(gateway: Gateway, url: str) -> bytes:
    """Return the name under which answers to `url` lie."""
    host, path, query = parse_target(url.encode(), [b"localhost"], "1.1")
    compiled, prefix_bytes = gateway.snapshot.table.find("GET", host, path)
    path = compiled.forwarded(path, prefix_bytes)
    target = path if query is None else b"%b?%b" % (path, query)
    return url_digest(route_name(compiled.service, compiled.route), host, target)
