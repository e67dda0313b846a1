"""Forget what is cached: of a URL, of a tenant, or everything (gateway/purge.py says how)."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from tidegate.control.fields import Body, Name, Shown
from tidegate.control.parts import PartsNeeded
from tidegate.gateway import purge
from tidegate.gateway.purge import URL_PATTERN

router = APIRouter(prefix="/v1/cache", tags=["cache"])

URLS_MAX: Final = 100
Url = Annotated[str, StringConstraints(pattern=URL_PATTERN)]


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
    if isinstance(body, PurgeUrlsBody):
        await purge(parts.gateway, urls=body.urls)
        return Purged(purged="urls")
    if isinstance(body, PurgeTenantBody):
        await purge(parts.gateway, tenant=body.tenant)
        return Purged(purged="tenant")
    await purge(parts.gateway)
    return Purged(purged="all")
