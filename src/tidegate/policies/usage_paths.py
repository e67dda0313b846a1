"""Where it is said what a call costs: paths such as `usage.total_tokens`, and what is a number.

Pure. Names are compared as they are written in the JSON text: a service that writes letters of them
as escapes is not understood. What is no number of at least 0 is passed over, so that the
`"usage": null` of a stream's first events leaves what is known.
"""

from collections.abc import Iterable
from math import ceil, inf
from typing import Any, Final, NamedTuple, TypeAlias

USAGE_MAX: Final = 10**9
"""As much as the largest limit holds: more than that cannot be counted."""
DIGITS_MAX: Final = 18
"""Of a field's value: Python reads thousands of digits in a time that grows with their square."""

Names: TypeAlias = "dict[bytes, Wanted]"
"""What to look for in an object."""


class Wanted(NamedTuple):
    place: int | None
    """Where the value belongs, if it is a number."""
    inner: Names
    """What to look for in the value, if it is an object."""


class UsagePaths:
    """Paths compiled for scanners: all of them are found in one pass."""

    __slots__ = ("last_names", "names", "paths")

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(dict.fromkeys(paths))
        self.names: Names = {}
        for place, path in enumerate(self.paths):
            names = self.names
            *outer, last = path.encode().split(b".")
            for name in outer:
                names = names.setdefault(name, Wanted(None, {})).inner
            names[last] = names.get(last, Wanted(None, {}))._replace(place=place)
        self.last_names = tuple({path.rpartition(".")[2].encode() for path in self.paths})
        """Text that holds none of these has nothing that is looked for."""

    def read(self, document: Any, values: list[int | None]) -> None:
        """Put what a parsed `document` says into `values`, by the place of each path."""
        for index, path in enumerate(self.paths):
            found = document
            for name in path.split("."):
                found = found.get(name) if isinstance(found, dict) else None
            if isinstance(found, int | float) and (used := usage_of(found)) is not None:
                values[index] = used


def whole_number(value: bytes) -> int | None:
    """Return a field's value as the number that it is; None if it is none, or longer than any."""
    return int(value) if value.isdigit() and len(value) <= DIGITS_MAX else None


def usage_of(number: float) -> int | None:
    """Return a number as something to count, rounded up; None if it cannot be that."""
    if isinstance(number, bool) or not 0 <= number < inf:
        return None
    return min(ceil(number), USAGE_MAX)
