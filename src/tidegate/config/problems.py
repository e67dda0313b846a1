"""What is wrong with a configuration, where, and what would be right.

All problems of a file are gathered and reported together, in file order. A message never holds a
value that came from a reference, nor a key: whoever writes one asks `nodes.found` for the words.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple


class Mark(NamedTuple):
    """A place in a file, counted from 1; line 0: no place within it (the environment)."""

    file: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    field: str
    """As written in the file: `services[0].routes[1].paths`; empty: the whole file."""
    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.message) if part)


class ConfigError(Exception):
    """The configuration cannot be used; `str()` is one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Problems:
    """Gathers problems. The first one of a field wins: what follows from it is only noise."""

    def __init__(self) -> None:
        self._by_field: dict[tuple[str, str], Problem] = {}

    def add(self, mark: Mark, field: str, message: str) -> None:
        self._by_field.setdefault((mark.file, field), Problem(field, *mark, message))

    def include(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self._by_field.setdefault((problem.file, problem.field), problem)

    def __iter__(self) -> Iterator[Problem]:
        """In file order."""
        return iter(sorted(self._by_field.values(), key=lambda p: (p.line, p.column, p.field)))

    def raise_if_any(self) -> None:
        if self._by_field:
            raise ConfigError(self)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean "X"?` or nothing."""
    close = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f', did you mean "{close[0]}"?' if close else ""
