"""One request as the cache sees it: its key, what it says, and what was asked on its behalf."""

from typing import Final

from tidegate.cache.memory import Copy, Key, Mark
from tidegate.cache.places import Place
from tidegate.cache.storage import LookUp
from tidegate.http import Headers

_DIRECTIVES: Final = frozenset({b"cache-control", b"pragma"})


class Question:
    """`headers` are those that the service would receive. `copy` is a fresh copy that the request,
    which says something about caches, may not want; else `look_up` is under way."""

    __slots__ = ("copy", "headers", "key", "look_up", "mark", "method", "place")

    def __init__(self, key: Key, method: str, headers: Headers, place: Place, mark: Mark) -> None:
        self.key = key
        self.method = method
        self.headers = headers
        self.place = place
        self.mark = mark
        self.copy: Copy | None = None
        self.look_up: LookUp | None = None

    @property
    def has_directives(self) -> bool:
        """Whether it says how it wants to be answered: then no other request's answer will do."""
        return any(name in _DIRECTIVES for name, _ in self.headers)
