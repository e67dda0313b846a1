"""Which route takes a request: by host, then the longest path, then the method.

The path that is looked up is the path that is forwarded (http/target.py made it). Upstreams may
read it more loosely than we do: decode `%2F`, merge `//`, cut `;x`, ignore case. So a path with
anything of that kind is looked up again in each way an upstream might read it, and is refused with
400 if one of them belongs to another route: nobody can borrow a lenient route to reach what a
strict one guards, or leave a route's prefix. Hot: a path seen lately costs one look-up; another
plain one a regular expression and a look-up per segment, at most as many as the longest prefix has.
All this is done for callers nobody knows yet, so what the readings cost is bounded.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from tidegate.http.errors import BadRequest, MethodNotAllowed, RouteNotFound

RouteT = TypeVar("RouteT")

_READ_TWO_WAYS: Final = re.compile(rb"[%;\\A-Z]|//|\./|.[./]\Z")
_PARAMETERS: Final = re.compile(rb";[^/]*")
_QUERY: Final = re.compile(rb"[?#].*", re.DOTALL)
_OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]")
"""ASCII spelt as two or three bytes of UTF-8, which some decoders take (RFC 3629, section 10)."""
_BLANKS: Final = bytes(range(0x21)) + b"\x7f"
DECODINGS_MAX: Final = 4
"""A path that still changes when it is decoded this often is nobody's honest path."""
READING_COST_MAX: Final = 19_000
"""What all readings of one path may cost together, in bytes read: about 1 ms. An S3 key of 1,024
bytes, all of them encoded, costs 14,400; 8 KB of path with one encoded blank 18,600."""
TRIPLET_COST: Final = 10
"""To decode `%XX`, and to normalise what comes of it: NFKC makes 18 characters of U+FDFA."""
SEGMENT_COST: Final = 3
MARKS_MAX: Final = 30
"""Marks on one character. NFKC sorts them in quadratic time; Unicode's Stream-Safe Text (UAX #15,
section 13) has the same bound, and no language comes near it."""
_MANY_BEYOND_ASCII: Final = re.compile(rf"[^\0-\x7f]{{{MARKS_MAX + 1},}}")
_MORE_MARKS: Final = re.compile(rb"[^\0]{%d}" % (MARKS_MAX + 1))
_LATE_MARKS: Final = re.compile("[\u0f73\u0f75\u0f81\uff9e\uff9f]")
"""Characters of combining class 0 that NFKC replaces by marks."""
PATHS_REMEMBERED_MAX: Final = 1024
PATH_REMEMBERED_BYTES_MAX: Final = 256
"""Longer paths are looked up each time, so that what is remembered stays below 1 MB."""
SEGMENTS_TRIED: Final = 4
"""Segments beyond the deepest prefix that are tried in vain rather than cut off first: cutting
costs as much as four look-ups."""


@dataclass(frozen=True, slots=True)
class Match(Generic[RouteT]):
    """One way to reach a route. `path` is a prefix on segment boundaries unless `is_exact`.

    `host` is lower case without port, `*.example.com` for all names below, empty for every host.
    `methods` empty: all. GET brings HEAD with it.
    """

    route: RouteT
    path: bytes
    is_exact: bool = False
    host: bytes = b""
    methods: frozenset[str] = frozenset()


class _Paths(Generic[RouteT]):
    """The matches of one host pattern."""

    __slots__ = ("depth_max", "exact", "prefixes")

    def __init__(self) -> None:
        self.exact: dict[bytes, list[Match[RouteT]]] = {}
        self.prefixes: dict[bytes, list[Match[RouteT]]] = {}
        self.depth_max = 0

    def add(self, path: bytes, match: Match[RouteT]) -> None:
        if match.is_exact:
            self.exact.setdefault(path, []).append(match)
        else:
            prefix = path.rstrip(b"/")
            self.prefixes.setdefault(prefix, []).append(match)
            self.depth_max = max(self.depth_max, prefix.count(b"/"))

    def candidates(self, path: bytes) -> tuple[list[Match[RouteT]], int] | None:
        """Return the matches of the longest pattern that covers `path`, and its length."""
        if (exact := self.exact.get(path)) is not None:
            return exact, 0
        prefixes = self.prefixes
        end = len(path)
        if path.count(b"/") > self.depth_max + SEGMENTS_TRIED:
            # Only as many segments as the deepest prefix has can matter, however long the path is.
            end -= len(path.split(b"/", self.depth_max + 1)[-1]) + 1
        while end > 0:
            if (found := prefixes.get(path[:end])) is not None:
                return found, end
            end = path.rfind(b"/", 0, end)
        if (found := prefixes.get(b"")) is not None:
            return found, 0
        return None


class _Hosts(Generic[RouteT]):
    """Host patterns, most specific first, each with its paths."""

    def __init__(self) -> None:
        self.named: dict[bytes, _Paths[RouteT]] = {}
        self.below: dict[bytes, _Paths[RouteT]] = {}
        self.every: _Paths[RouteT] = _Paths()

    def paths_of(self, host: bytes) -> _Paths[RouteT]:
        """Return the paths of a pattern, made if it is new."""
        if not host:
            return self.every
        if host.startswith(b"*."):
            return self.below.setdefault(host[1:], _Paths())
        return self.named.setdefault(host, _Paths())

    def candidates(self, host: bytes, path: bytes) -> tuple[list[Match[RouteT]], int] | None:
        if self.named or self.below:
            for paths in self._applying(_host_name(host)):
                if (found := paths.candidates(path)) is not None:
                    return found
        return self.every.candidates(path)

    def _applying(self, name: bytes) -> Iterable[_Paths[RouteT]]:
        if (paths := self.named.get(name)) is not None:
            yield paths
        dot = name.find(b".")
        while dot >= 0:
            if (paths := self.below.get(name[dot:])) is not None:
                yield paths
            dot = name.find(b".", dot + 1)


class RouteTable(Generic[RouteT]):
    """All matches, compiled once. Immutable after construction."""

    def __init__(self, matches: Iterable[Match[RouteT]]) -> None:
        self._strict: _Hosts[RouteT] = _Hosts()
        self._loose: _Hosts[RouteT] = _Hosts()
        for match in matches:
            self._strict.paths_of(match.host).add(match.path, match)
            for reading in loose_readings(match.path):
                self._loose.paths_of(match.host).add(reading, match)
        # Pure, and most requests name one of few paths. An error is not remembered.
        self._remembered_candidates = lru_cache(PATHS_REMEMBERED_MAX)(self._checked_candidates)

    def find(self, method: str, host: bytes, path: bytes) -> tuple[RouteT, int]:
        """Return the route for a request, and how many bytes of the path its prefix covers.

        Raises RouteNotFound, MethodNotAllowed (with Allow), or BadRequest for a path that an
        upstream could read as another route's.
        """
        if len(path) > PATH_REMEMBERED_BYTES_MAX:
            candidates, prefix_bytes = self._checked_candidates(host, path)
        else:
            candidates, prefix_bytes = self._remembered_candidates(host, path)
        for match in candidates:
            if not match.methods or method in match.methods:
                return match.route, prefix_bytes
        allowed = sorted({name for match in candidates for name in match.methods})
        raise MethodNotAllowed(
            f"This path takes {', '.join(allowed)}",
            headers=((b"allow", ", ".join(allowed).encode()),),
        )

    def _checked_candidates(self, host: bytes, path: bytes) -> tuple[list[Match[RouteT]], int]:
        found = self._strict.candidates(host, path)
        if found is None:
            raise RouteNotFound("No route takes this host and path")
        if _READ_TWO_WAYS.search(path) is not None:
            self._refuse_if_ambiguous(host, path, found[0])
        return found

    def _refuse_if_ambiguous(
        self, host: bytes, path: bytes, candidates: list[Match[RouteT]]
    ) -> None:
        for reading in loose_readings(path):
            found = self._loose.candidates(host, reading)
            others = found[0] if found is not None else []
            if not all(any(match is other for other in others) for match in candidates):
                raise _two_ways()


def methods_with_head(methods: Iterable[str]) -> frozenset[str]:
    """Return the methods a route takes: GET brings HEAD (RFC 9110, section 9.3.2)."""
    named = frozenset(methods)
    return named | {"HEAD"} if "GET" in named else named


def loose_readings(path: bytes) -> set[bytes]:
    """Return `path` as lenient upstreams would read it. Never forwarded, only compared.

    Some cut `;x` before they decode and some after, so each is tried at each decoding. Dot
    segments that only show then are refused: who resolves them stands elsewhere than who does not.
    """
    found: set[bytes] = set()
    spellings = {path}
    cost_left = READING_COST_MAX
    for _ in range(DECODINGS_MAX):
        spellings |= {_PARAMETERS.sub(b"", spelling) for spelling in spellings}
        cost_left -= sum(map(_reading_cost, spellings))
        if cost_left < 0:
            raise BadRequest(
                "The path is too long to be read in every way an upstream might: "
                "send it shorter, or with less of it encoded"
            )
        found |= {_plainest(spelling) for spelling in spellings}
        decoded = {_decoded(spelling) for spelling in spellings}
        if decoded <= spellings:
            return found
        spellings = decoded
    raise BadRequest("The path is percent-encoded again and again")


def _reading_cost(path: bytes) -> int:
    """Return what it costs to make `path` plain and to decode it, before either is done."""
    return len(path) + TRIPLET_COST * path.count(b"%") + SEGMENT_COST * path.count(b"/")


def _decoded(path: bytes) -> bytes:
    path = unquote_to_bytes(path)
    if b"\0" in path or _OVERLONG.search(path) is not None:
        raise BadRequest("The path holds an encoded NUL, or ASCII in an overlong encoding")
    path = path.replace(b"\\", b"/")
    return path if path.isascii() else _folded(path)


def _folded(path: bytes) -> bytes:
    """Return the ASCII that an upstream may see in other characters, such as K in U+212A."""
    text = path.decode("utf-8", "surrogateescape")
    if any(map(_has_more_marks, _MANY_BEYOND_ASCII.findall(text))):
        raise BadRequest(f"The path holds a character with more than {MARKS_MAX} marks")
    text = unicodedata.normalize("NFKC", text)
    # Of the capital I with dot, casefold leaves the dot.
    text = text.upper().casefold().replace("\N{COMBINING DOT ABOVE}", "")
    return text.encode("utf-8", "surrogateescape").replace(b"\\", b"/")


def _has_more_marks(text: str) -> bool:
    classes = bytes(map(unicodedata.combining, _LATE_MARKS.sub("\u0300", text)))
    return _MORE_MARKS.search(classes) is not None


def _plainest(path: bytes) -> bytes:
    """Drop what means nothing to somebody: parameters, case, empty segments, dots at their end."""
    path = _PARAMETERS.sub(b"", _QUERY.sub(b"", path)).lower()
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        name = segment.strip(_BLANKS)
        if name == b"..":
            raise _two_ways()
        # Windows ignores dots and blanks that end a name; `$` matches before a last line break.
        if name := name.rstrip(_BLANKS + b"."):
            kept.append(name)
    return b"/" + b"/".join(kept)


def _two_ways() -> BadRequest:
    return BadRequest(
        "The path can be read in two ways that belong to different routes: "
        "send it without encoded or double slashes, `;`, other case, or dots that end a segment"
    )


def _host_name(host: bytes) -> bytes:
    """Return a checked Host without port and without the root's trailing dot."""
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0].rstrip(b".")
