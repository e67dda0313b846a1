"""Bounded in-process copies of what the store said about a digest. Synchronous, no clock.

A copy remembers the store keys it was read from, and is dropped when one of them changes. The
oldest reading goes first when the bound is met: copies in use are read again before long and put
back at the end, so this keeps about what LRU would, and a look-up writes nothing. Keyed by digest:
a dump of the process's memory shows no key of an idle client.
"""

import math
from dataclasses import dataclass

from tidegate.identity.models import Caller


@dataclass(frozen=True, slots=True)
class Copy:
    """`caller` is None where the store said that nobody has this key."""

    digest: bytes
    caller: Caller | None
    read_from: tuple[bytes, ...]
    read_at_s: float
    epoch: int
    """The stretch of unbroken tracking in which the reading began."""
    ends_at_s: float = math.inf
    """When the key ends by itself, on the reader's clock."""


class Copies:
    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._by_digest: dict[bytes, Copy] = {}
        self._digests_by_store_key: dict[bytes, set[bytes]] = {}
        self.get = self._by_digest.get

    def __len__(self) -> int:
        return len(self._by_digest)

    def put(self, copy: Copy) -> None:
        self.remove(copy.digest)
        if len(self._by_digest) >= self._entries_max:
            self.remove(next(iter(self._by_digest)))
        self._by_digest[copy.digest] = copy
        for store_key in copy.read_from:
            self._digests_by_store_key.setdefault(store_key, set()).add(copy.digest)

    def remove(self, digest: bytes) -> None:
        copy = self._by_digest.pop(digest, None)
        if copy is None:
            return
        for store_key in copy.read_from:
            digests = self._digests_by_store_key[store_key]
            digests.discard(digest)
            if not digests:
                del self._digests_by_store_key[store_key]

    def drop_read_from(self, store_key: bytes) -> None:
        """Forget everything that was read from `store_key`."""
        for digest in tuple(self._digests_by_store_key.get(store_key, ())):
            self.remove(digest)
