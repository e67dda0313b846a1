"""How much a tenant has used: sums over a stretch of time, by key, by route or by minute."""

import time
from collections.abc import Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic.json_schema import SkipJsonSchema

from tidegate.control.fields import Name, Shown
from tidegate.control.parts import PartsNeeded
from tidegate.telemetry import UsageRow, read_usage
from tidegate.telemetry.usage import MINUTES_MAX

router = APIRouter(prefix="/v1", tags=["usage"])

UNIX_S_MAX: Final = 2**40
_GROUPS: Final[dict[str, Callable[[UsageRow], str]]] = {
    "key": lambda row: row.key_id,
    "route": lambda row: row.route,
    "minute": lambda row: str(row.minute * 60),
}


class ShownUsage(Shown):
    of: str
    """The id of a key, the name of a route, or the start of a minute in seconds since 1970."""
    requests: int
    refused: int
    """Of the requests, those that the gateway refused."""
    bytes: int
    """Of bodies sent to clients."""


class ShownUsages(Shown):
    tenant: str
    first_minute: int
    """Start of the first minute, in seconds since 1970."""
    minutes: int
    by: str
    items: list[ShownUsage]


@router.get("/usage")
async def get_usage(
    parts: PartsNeeded,
    tenant: Annotated[Name, Query()],
    by: Literal["key", "route", "minute"] = "key",
    minutes: Annotated[int, Query(ge=1, le=MINUTES_MAX)] = 60,
    until: Annotated[
        Annotated[int, Query(ge=0, le=UNIX_S_MAX)] | SkipJsonSchema[None],
        Query(description="The last minute, by any of its seconds since 1970. Default: now."),
    ] = None,
) -> ShownUsages:
    """Sum what a tenant used in the `minutes` up to `until`. Counts are a second behind."""
    last = int(time.time() if until is None else until) // 60
    first = max(0, last - minutes + 1)
    rows = await read_usage(parts.gateway.store, tenant, first, last)
    return ShownUsages(
        tenant=tenant, first_minute=first * 60, minutes=minutes, by=by, items=_sums(rows, by)
    )


def _sums(rows: list[UsageRow], by: str) -> list[ShownUsage]:
    group = _GROUPS[by]
    sums: dict[str, ShownUsage] = {}
    for row in rows:
        name = group(row)
        total = sums.setdefault(name, ShownUsage(of=name, requests=0, refused=0, bytes=0))
        total.requests += row.requests
        total.refused += row.refused
        total.bytes += row.bytes
    return [sums[name] for name in sorted(sums)]
