"""Pages: how many, from where on, and the cursor that leads to the next one.

A cursor is opaque to clients, so that what it holds can change: today the last name of the page,
in base64url. Every well-formed one leads somewhere (an odd one to an empty page): it is only a
bound in an order, and opens nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from tidegate.identity import Page

COUNT_MAX: Final = 500
COUNT_DEFAULT: Final = 100
CURSOR_PATTERN: Final = r"^([A-Za-z0-9_-]{4}){0,64}([A-Za-z0-9_-]{2,3})?$"
T = TypeVar("T")
Found = TypeVar("Found")


class Listed(BaseModel, Generic[T]):
    """A page. `next_cursor` is given back as `cursor`; null: there is no more."""

    items: list[T]
    next_cursor: str | None


class Position:
    """Where a page begins, and how long it is."""

    def __init__(
        self,
        cursor: Annotated[
            str, Query(pattern=CURSOR_PATTERN, description="`next_cursor` of the page before.")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=COUNT_MAX)] = COUNT_DEFAULT,
    ) -> None:
        padding = "=" * (-len(cursor) % 4)
        self.after = urlsafe_b64decode(cursor + padding).decode("latin-1")
        self.count = limit


PositionQuery = Annotated[Position, Depends()]


def listed(page: Page[Found], shown: Callable[[Found], T]) -> Listed[T]:
    """Return a page as a client gets it, each of its objects as `shown` shows it."""
    cursor = None
    if page.next_after is not None:
        cursor = urlsafe_b64encode(page.next_after.encode()).decode().rstrip("=")
    return Listed(items=[shown(item) for item in page.items], next_cursor=cursor)
