"""Where an answer says what a call used: paths such as `usage.total_tokens`, and what is a number.

Pure. Names are compared as they are written in the JSON text: a service that writes letters of them
as escapes is not understood. What is no number of at least 0 is passed over, so that the
`"usage": null` of a stream's first events leaves what is known.
"""

from collections.abc import Sequence
from math import ceil, isfinite
from typing import Any, Final, TypeAlias

USAGE_MAX: Final = 10**9
"""As much as the largest limit holds: more than that cannot be counted."""

Names: TypeAlias = "dict[bytes, Names | int]"
"""What to look for in an object: names of objects to look into, and of numbers, with the place of
each one's value."""


class UsagePaths:
    """Paths compiled for scanners: all of them are found in one pass."""

    __slots__ = ("last_names", "names", "paths")

    def __init__(self, paths: Sequence[str]) -> None:
        """Raises ValueError if one path leads through the end of another."""
        self.paths = tuple(tuple(path.split(".")) for path in paths)
        self.names: Names = {}
        for index, path in enumerate(self.paths):
            _add(self.names, path, index)
        self.last_names = tuple({path[-1].encode() for path in self.paths})
        """Text that holds none of these has nothing that is looked for."""

    def read(self, document: Any, values: list[int | None]) -> None:
        """Put what a parsed `document` says into `values`, by the place of each path."""
        for index, path in enumerate(self.paths):
            found = document
            for name in path:
                found = found.get(name) if isinstance(found, dict) else None
            if isinstance(found, int | float) and (used := usage_of(found)) is not None:
                values[index] = used


def usage_of(number: float) -> int | None:
    """Return a number as something to count, rounded up; None if it cannot be that."""
    if isinstance(number, bool) or not isfinite(number) or number < 0:
        return None
    return min(ceil(number), USAGE_MAX)


def _add(names: Names, path: tuple[str, ...], index: int) -> None:
    *outer, last = (name.encode() for name in path)
    for name in outer:
        inner = names.setdefault(name, {})
        if isinstance(inner, int):
            raise ValueError(f"{'.'.join(path)} leads through a number")
        names = inner
    if names.setdefault(last, index) is not index:
        raise ValueError(f"{'.'.join(path)} is there twice, or has others inside it")
