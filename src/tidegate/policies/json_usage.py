"""Finds numbers by their paths in JSON text that arrives in pieces, whatever its size.

Nothing is parsed that is not on the way to a path, and nothing is kept but where the text stands:
how deep, and in which of the objects on the way. So memory is the same for every answer, and what
lies aside is passed over in C. Not a validator: of text that is no JSON it finds something or
nothing, within the same bounds. Several texts in a row (NDJSON) and the elements of an outermost
array are looked at one by one; the latest number of each path counts.

Hot: one step, of about half a microsecond, for each member of an object on the way and each bracket
aside. Figures in docs/limits.md.
"""

import re
from typing import Final

from tidegate.policies.usage_paths import Names, UsagePaths, usage_of

STEPS_FREE: Final = 2**17
"""For one answer: a tenth of a second."""
BYTES_A_STEP: Final = 8
"""What passes by allows more: as much again for each MiB. Answers with the log probabilities of
their tokens have 12 bytes or more for each bracket; one with fewer for so long is not looked at any
more."""

# Groups that repeat are possessive, with nothing to backtrack inside: no input makes them slow,
# and Python 3.11.2 reads them right (CPython issues 101955 and 106052).
_ASIDE: Final = re.compile(rb'[^"\[\]{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[\]{}]*+)*+', re.DOTALL)
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_UP_TO_NEXT: Final = re.compile(rb'[^"\[\]{}]*+')
_MEMBER: Final = re.compile(rb'"([^"\\]{0,128}+)"\s{0,64}+:\s{0,64}+(?=\S)')
_MEMBER_BEGUN: Final = re.compile(rb'"[^"\\]{0,128}+(?:"\s{0,64}+(?::\s{0,64}+)?+)?+')
_NUMBER: Final = re.compile(rb"(\d{1,20}+(?:\.\d{1,20}+)?+(?:[eE][+-]?\d{1,3}+)?+)[\s,}]")
_NUMBER_BEGUN: Final = re.compile(rb"[-+.eE0-9]{1,48}+")

_QUOTE, _OPEN, _CLOSE, _CLOSE_LIST = b'"{}]'
_OPENING: Final = b"{["


class JsonUsage:
    """`feed` it the text; `values` are what is known by then, by the place of each path."""

    __slots__ = (
        "_allowed",
        "_aside",
        "_in_string",
        "_names",
        "_outer",
        "_rest",
        "_top",
        "is_lost",
        "values",
    )

    def __init__(self, paths: UsagePaths, steps_free: int = STEPS_FREE) -> None:
        self.values: list[int | None] = [None] * len(paths.paths)
        self._top = paths.names
        self._names: Names | None = None
        """What to look for in the object the text is in; None outside of all."""
        self._outer: list[Names | None] = []
        """The same for the objects around it: never more than a path has names."""
        self._aside = 0
        """Brackets to close until the text is back on the way."""
        self._in_string = False
        self._rest = b""
        """The beginning of something that is decided by what follows: 320 bytes at the most."""
        self._allowed = steps_free * BYTES_A_STEP
        """Steps that may still be taken, in bytes."""
        self.is_lost = False
        """There were too many steps: what follows is not known."""

    def feed(self, piece: bytes) -> None:
        if self.is_lost:
            return
        self._allowed += len(piece)
        text = self._rest + piece if self._rest else piece
        self._rest = b""
        at, end = 0, len(text)
        while at < end:
            if self._allowed <= 0:
                self.is_lost = True
                return
            if self._in_string:
                at = self._string_ended(text, at)
            elif self._aside:
                at = self._back_on_the_way(text, at)
            else:
                at = self._next(text, at)

    def finish(self) -> None:
        """The text has ended: what is not whole by now says nothing."""

    def _string_ended(self, text: bytes, at: int) -> int:
        found = _IN_STRING.match(text, at)
        assert found is not None  # noqa: S101 - it matches nothing as well
        at = found.end()
        if at == len(text):
            return at
        if text[at] == _QUOTE:
            self._in_string = False
            return at + 1
        return self._wait(text, at)  # a backslash, of which the other half is to come

    def _back_on_the_way(self, text: bytes, at: int) -> int:
        end = len(text)
        while self._aside and self._allowed > 0:
            found = _ASIDE.match(text, at)
            assert found is not None  # noqa: S101 - it matches nothing as well
            at = found.end()
            if at == end:
                return at
            byte = text[at]
            at += 1
            if byte == _QUOTE:
                self._in_string = True
                return at
            self._aside += 1 if byte in _OPENING else -1
            self._allowed -= BYTES_A_STEP
        return at

    def _next(self, text: bytes, at: int) -> int:
        """Take one step on the way; return where the next one begins."""
        found = _UP_TO_NEXT.match(text, at)
        assert found is not None  # noqa: S101 - it matches nothing as well
        at = found.end()
        if at == len(text):
            return at
        byte = text[at]
        if byte == _QUOTE:
            return self._member(text, at)
        self._allowed -= BYTES_A_STEP
        if self._names is None:
            if byte == _OPEN:
                self._enter(self._top)
        elif byte == _CLOSE:
            self._names = self._outer.pop()
        elif byte != _CLOSE_LIST:
            self._aside = 1
        return at + 1

    def _member(self, text: bytes, at: int) -> int:
        found = None if self._names is None else _MEMBER.match(text, at)
        if found is None or self._names is None:
            if self._names is not None and _MEMBER_BEGUN.fullmatch(text, at):
                return self._wait(text, at)
            self._allowed -= BYTES_A_STEP
            self._in_string = True
            return at + 1
        wanted, value_at = self._names.get(found[1]), found.end()
        place = None if wanted is None else wanted.place
        if place is not None and not self._read(text, value_at, place):
            return self._wait(text, at)
        self._allowed -= BYTES_A_STEP
        byte = text[value_at]
        if byte == _OPEN and wanted is not None:
            self._enter(wanted.inner)
        elif byte in _OPENING:
            self._aside = 1
        elif byte == _QUOTE:
            self._in_string = True
        else:
            return value_at
        return value_at + 1

    def _read(self, text: bytes, at: int, place: int) -> bool:
        """Take the number at `at`, if it is one; return whether that can be said already."""
        found = _NUMBER.match(text, at)
        if found is None:
            return _NUMBER_BEGUN.fullmatch(text, at) is None
        digits = found[1]
        used = usage_of(int(digits) if digits.isdigit() else float(digits))
        if used is not None:
            self.values[place] = used
        return True

    def _enter(self, names: Names) -> None:
        self._outer.append(self._names)
        self._names = names

    def _wait(self, text: bytes, at: int) -> int:
        self._rest = text[at:]
        return len(text)
