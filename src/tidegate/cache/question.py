"""One request as the cache sees it: its key, what it says, and what was asked on its behalf."""

from typing import Final

from tidegate.cache.memory import Copy, Key, Mark
from tidegate.cache.places import Place
from tidegate.cache.storage import LookUp
from tidegate.http import Headers

_DIRECTIVES: Final = frozenset({b"cache-control", b"pragma"})


class Question:
    """`headers` are those that the service would receive. `copy` is a fresh copy that the request,
    which says something about caches, may not want; else `look_up` is under way.

    `status`, `detail` and `is_from_cache` tell what became of it: hit, stale, miss or
    revalidated, the reason if there is one, and whether the body came from the cache.
    """

    __slots__ = (
        "copy",
        "detail",
        "headers",
        "is_from_cache",
        "key",
        "look_up",
        "mark",
        "method",
        "place",
        "status",
    )

    def __init__(self, key: Key, method: str, headers: Headers, place: Place, mark: Mark) -> None:
        self.key = key
        self.method = method
        self.headers = headers
        self.place = place
        self.mark = mark
        self.copy: Copy | None = None
        self.look_up: LookUp | None = None
        self.status: str | None = None
        self.detail: str | None = None
        self.is_from_cache = False

    def told(self, status: str, detail: str | None = None, *, is_from_cache: bool) -> None:
        self.status = status
        self.detail = detail
        self.is_from_cache = is_from_cache

    @property
    def has_directives(self) -> bool:
        """Whether it says how it wants to be answered: then no other request's answer will do."""
        return any(name in _DIRECTIVES for name, _ in self.headers)
