"""Forget what is cached: of a URL, of a tenant, or everything. Every worker follows
within a second.

One write however much there is to forget, and what was on its way from a service meanwhile is not
stored either. A URL is looked up as a request for it would be, so it names host and port as
clients do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from tidegate.cache import open_cache
from tidegate.cache.places import url_digest
from tidegate.cache.storage import Storage
from tidegate.control.fields import Body, Name, Shown
from tidegate.control.parts import Parts, PartsNeeded
from tidegate.http.target import parse_target

router = APIRouter(prefix="/v1/cache", tags=["cache"])

URLS_MAX: Final = 100
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,4096}$")]


class PurgeUrlsBody(Body):
    urls: Annotated[list[Url], Field(min_length=1, max_length=URLS_MAX)]
    """Whole URLs, with their query, of every tenant."""


class PurgeTenantBody(Body):
    tenant: Name
    """What was stored for this tenant alone. Explicitly public answers stay."""


class PurgeAllBody(Body):
    all: Literal[True]


class Purged(Shown):
    purged: Literal["urls", "tenant", "all"]


@router.post("/purge", responses={404: {"description": "No route takes one of the URLs"}})
async def purge_cache(
    body: PurgeUrlsBody | PurgeTenantBody | PurgeAllBody, parts: PartsNeeded
) -> Purged:
    """Forget what is cached of URLs, of a tenant, or everything."""
    async with _storage(parts) as storage:
        if isinstance(body, PurgeUrlsBody):
            await storage.purge_urls([_digest(parts, url) for url in body.urls])
            return Purged(purged="urls")
        if isinstance(body, PurgeTenantBody):
            await storage.purge_tenant(body.tenant)
            return Purged(purged="tenant")
        await storage.purge_all()
        return Purged(purged="all")


@asynccontextmanager
async def _storage(parts: Parts) -> AsyncIterator[Storage]:
    """The gateway's storage; one for the moment where no route caches by now."""
    held = parts.gateway.parts.cache
    if held is not None:
        yield held.storage
        return
    async with await open_cache(parts.config.cache, parts.store) as cache:
        yield cache.storage


def _digest(parts: Parts, url: str) -> bytes:
    """Return the name under which answers to `url` lie. Raises RouteNotFound, BadRequest."""
    host, path, query = parse_target(url.encode(), [b"localhost"], "1.1")
    compiled, prefix_bytes = parts.gateway.snapshot.table.find("GET", host, path)
    if compiled.route.strip_prefix:
        path = b"/" + path[prefix_bytes:].lstrip(b"/")
    target = path if query is None else b"%b?%b" % (path, query)
    name = f"{compiled.service.name}/{compiled.route.name}"
    return url_digest(name.encode(), host, target)
