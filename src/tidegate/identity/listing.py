"""One page of objects in the order of their names, from the file and the store together.

The store's part is an index in the order of bytes (a sorted set of equal scores); names are plain
ASCII, for which that is Python's order too. Where both have a name, the file's object stands. An
object that is deleted between index and record is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from tidegate.identity.errors import InvalidObject
from tidegate.identity.layout import ADMIN_TIMEOUT_S
from tidegate.identity.models import Page
from tidegate.store import Store

COUNT_MAX: Final = 1000
T = TypeVar("T")


async def page_of(
    store: Store,
    index: bytes,
    in_file: Mapping[str, T],
    read_stored: Callable[[str], Awaitable[T | None]],
    *,
    prefix: str = "",
    after: str,
    count: int,
) -> Page[T]:
    """Return up to `count` objects whose names start with `prefix` and follow `after`."""
    if not 1 <= count <= COUNT_MAX:
        raise InvalidObject(f"A page holds 1 to {COUNT_MAX} objects")
    stored = await names_in(store, index, prefix=prefix, after=after, count=count + 1)
    names = {name for name in in_file if name.startswith(prefix) and name > after}
    ordered = sorted(names.union(stored))
    chosen = ordered[:count]
    from_store = [name for name in chosen if name not in in_file]
    read = dict(zip(from_store, await asyncio.gather(*map(read_stored, from_store)), strict=True))
    objects = (in_file.get(name) or read.get(name) for name in chosen)
    return Page(
        tuple(item for item in objects if item is not None),
        chosen[-1] if len(ordered) > count else None,
    )


async def names_in(
    store: Store, index: bytes, *, prefix: str, after: str = "", count: int
) -> list[str]:
    """Return the next `count` names of the store's index."""
    first = f"({after}" if after > prefix else f"[{prefix}"
    # No name holds a character above `z`.
    last = f"[{prefix}\x7f"
    names: list[bytes] = await store.execute(
        b"ZRANGEBYLEX", index, first, last, b"LIMIT", 0, count, timeout_s=ADMIN_TIMEOUT_S
    )
    return [name.decode() for name in names]
