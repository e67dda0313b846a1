"""Cache-Control and Pragma as values (RFC 9111, sections 5.2 and 5.4), of requests and responses.

What restricts is read generously, what permits strictly: of a member that is no valid directive,
every word that restricts still counts, and beside one nothing that permits does. So nothing that
can be added to a field makes a response more cacheable than it was. Never raises.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from tidegate.http.headers import HeaderField

DELTA_SECONDS_MAX: Final = 2**31
"""RFC 9111, section 1.2.2: what a larger number of seconds is taken for."""

REMEMBERED_BYTES_MAX: Final = 128
"""Of a field value whose directives are remembered: a service says the same again and again, and
reading it costs 4 microseconds."""
REMEMBERED_COUNT: Final = 1024

READ_BYTES_MAX: Final = 2048
"""Of what a message says; of the rest only the restrictions count. Anybody can send 32 KiB of
commas, and reading them costs 30 milliseconds."""

_DIGITS_MAX: Final = 10
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*"'
_DIRECTIVE: Final = re.compile(
    rb"[ \t]*(" + _TOKEN + rb")(?:=(" + _TOKEN + rb"|" + _QUOTED + rb"))?[ \t]*(?:,|\Z)", re.DOTALL
)
_WORD: Final = re.compile(_TOKEN)
_RESTRICTING: Final = frozenset(
    {
        b"max-age",  # of a member that cannot be read, it says zero
        b"min-fresh",
        b"must-revalidate",
        b"no-cache",
        b"no-store",
        b"private",
        b"proxy-revalidate",
        b"s-maxage",
    }
)
_UNREADABLE: Final = b""
"""An argument that is no number, and that makes no directive a bare one."""


class Directives:
    """The directives of one message. A qualified `private` or `no-cache` counts as a bare one."""

    __slots__ = ("_arguments", "_is_malformed")

    def __init__(self, arguments: dict[bytes, set[bytes | None]], is_malformed: bool) -> None:
        """`arguments` are all that each directive was given; None stands for no argument."""
        self._arguments = arguments
        self._is_malformed = is_malformed

    def __contains__(self, name: bytes) -> bool:
        """Whether a directive that restricts is there, in whatever form."""
        return name in self._arguments

    def permits(self, name: bytes) -> bool:
        """Whether a directive that permits (`public`) is there beyond doubt."""
        return not self._is_malformed and self._arguments.get(name) == {None}

    def seconds(self, name: bytes) -> int | None:
        """Return the argument of `max-age`, `s-maxage` or `max-stale`; None if it is not there.

        Unreadable or contradictory: zero, which makes a response stale (section 4.2.1).
        """
        if name not in self._arguments:
            return None
        numbers = self._numbers(name)
        return numbers.pop() if len(numbers) == 1 else 0

    def seconds_or_max(self, name: bytes) -> int | None:
        """Return the same of `min-fresh`, for which a large number is the careful reading."""
        if name not in self._arguments:
            return None
        numbers = self._numbers(name)
        return numbers.pop() if len(numbers) == 1 else DELTA_SECONDS_MAX

    def is_bare(self, name: bytes) -> bool:
        """Whether the directive is there without an argument, and in no other form."""
        return self._arguments.get(name) == {None}

    def _numbers(self, name: bytes) -> set[int]:
        """Return the distinct numbers that were given; empty if any of them cannot be read."""
        numbers = {delta_seconds(argument or b"") for argument in self._arguments[name]}
        known = {number for number in numbers if number is not None}
        return known if len(known) == len(numbers) else set()


NONE: Final = Directives({}, is_malformed=False)
"""Of a message that says nothing."""
NO_CACHE: Final = Directives({b"no-cache": {None}}, is_malformed=False)


def parse(values: Iterable[bytes]) -> Directives:
    """Return the directives of all Cache-Control fields of a message."""
    arguments: dict[bytes, set[bytes | None]] = {}
    is_malformed = False
    total = 0
    for value in values:
        position = 0
        total += len(value)
        if total > READ_BYTES_MAX:
            is_malformed = True
            _salvage(value, arguments)
            continue
        while position < len(value):
            match = _DIRECTIVE.match(value, position)
            if match is None:
                member, position = _unreadable_member(value, position)
                if member:
                    is_malformed = True
                    _salvage(member, arguments)
                continue
            position = match.end()
            arguments.setdefault(match[1].lower(), set()).add(_unquoted(match[2]))
    return Directives(arguments, is_malformed)


def of_message(headers: Iterable[HeaderField]) -> Directives:
    """Return what a message's Cache-Control says, or its Pragma where it has none (section 5.4).

    Pragma is meant for requests; a response that has it and nothing else means the same.
    """
    values: list[bytes] = []
    pragmas: list[bytes] = []
    for name, value in headers:
        if name == b"cache-control":
            values.append(value)
        elif name == b"pragma":
            pragmas.append(value)
    if len(values) == 1 and len(values[0]) <= REMEMBERED_BYTES_MAX:
        return _remembered(values[0])
    if values:
        return parse(values)
    return NO_CACHE if pragmas and b"no-cache" in parse(pragmas) else NONE


@lru_cache(REMEMBERED_COUNT)
def _remembered(value: bytes) -> Directives:
    return parse((value,))


def delta_seconds(text: bytes) -> int | None:
    """Return the number of seconds, at most DELTA_SECONDS_MAX; None unless `text` is digits."""
    if not text.isdigit():
        return None
    text = text.lstrip(b"0")
    if len(text) > _DIGITS_MAX:
        return DELTA_SECONDS_MAX
    return min(int(text or b"0"), DELTA_SECONDS_MAX)


def _unquoted(argument: bytes | None) -> bytes | None:
    """Section 5.2: the quoted form of an argument means what the bare one means."""
    if argument is None or argument[:1] != b'"':
        return argument
    return re.sub(rb"\\(.)", rb"\1", argument[1:-1], flags=re.DOTALL)


def _unreadable_member(value: bytes, position: int) -> tuple[bytes, int]:
    """Return what stands at `position` instead of a directive, and where the next one begins.

    After a quotation mark out of place nobody can say what is quoted: all the rest is unreadable.
    """
    end = value.find(b",", position)
    if end < 0 or value.find(b'"', position, end) >= 0:
        end = len(value)
    return value[position:end].strip(b" \t"), end + 1


def _salvage(member: bytes, arguments: dict[bytes, set[bytes | None]]) -> None:
    for word in _WORD.findall(member.lower()):
        if word in _RESTRICTING:
            arguments.setdefault(word, set()).add(_UNREADABLE)
