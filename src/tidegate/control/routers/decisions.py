"""The decision records of all workers, the oldest first, for replaying and for statistics."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from tidegate.control.paging import Listed, PositionQuery, listed
from tidegate.control.parts import PartsNeeded
from tidegate.identity import Page
from tidegate.telemetry import decisions_after

router = APIRouter(prefix="/v1", tags=["usage"])

UNIX_S_MAX: Final = 2**40


@router.get("/decisions")
async def list_decisions(
    parts: PartsNeeded,
    position: PositionQuery,
    since: Annotated[
        int, Query(ge=0, le=UNIX_S_MAX, description="Seconds since 1970; not heeded with `cursor`.")
    ] = 0,
) -> Listed[dict[str, Any]]:
    """Read what was recorded. Each record tells the `weight` with which it was sampled."""
    after = position.after or str(since * 1000)
    records, place = await decisions_after(parts.gateway.store, after, position.count)
    return listed(Page(tuple(records), place), lambda record: record)
