"""A worker's own copies of small fresh entries: bounded by bytes, least recently used first out.

Keyed by what the request says, tenant included, so that a hit hashes nothing and asks nobody. A
copy remembers the store keys that it rests on, and is gone when one of them changes; while the
store's tracking is not live, no copy is used; and a reading that was overtaken by a change is not
kept (DESIGN, decision 5). Synchronous.
"""

from collections.abc import Hashable
from time import monotonic
from typing import Final

from tidegate.cache.places import ENTRY_PREFIX, GENERATION_PREFIX, url_generations
from tidegate.cache.stored import Stored
from tidegate.cache.vary import selecting_values
from tidegate.http import Headers
from tidegate.http.headers import HeaderField
from tidegate.store import Tracking

COPY_OVERHEAD_BYTES: Final = 2048
"""Objects, dictionaries and header fields beside the bytes they hold."""
SHARE_MAX: Final = 8
"""No copy takes more than this part of the memory."""
CHANGES_MAX: Final = 4096
VARIES_MAX: Final = 4096
TOUCH_S: Final = 10.0
"""The store is told that a copy was used only so long after the last time."""

Key = Hashable
"""What tells one request from another, but for Vary."""


class Copy:
    """A stored response with its body. `prepared` are its fields, right for one second of its age,
    from `prepared_from` to `prepared_until`; that it is used is noted once in that second."""

    __slots__ = (
        "bytes",
        "entry",
        "fresh_until",
        "is_use_noted",
        "key",
        "prepared",
        "prepared_from",
        "prepared_until",
        "rests_on",
        "stored",
        "touched_at",
    )

    def __init__(self, key: Key, entry: bytes, rests_on: tuple[bytes, ...], stored: Stored) -> None:
        self.key = key
        self.entry = entry
        self.rests_on = rests_on
        self.stored = stored
        self.fresh_until = stored.response_time + stored.lifetime_s - stored.initial_age_s
        self.bytes = (
            stored.body_length
            + sum(len(name) + len(value) for name, value in stored.headers)
            + _key_bytes(key)
            + COPY_OVERHEAD_BYTES
        )
        self.prepared: list[HeaderField] = []
        self.prepared_from = self.prepared_until = 0.0
        self.is_use_noted = False
        self.touched_at = monotonic()


class Mark:
    """The moment at which a reading began."""

    __slots__ = ("changes", "doubts")

    def __init__(self, changes: int, doubts: int) -> None:
        self.changes = changes
        self.doubts = doubts


class Memory:
    def __init__(self, tracking: Tracking, bytes_max: int) -> None:
        self._tracking = tracking
        self._bytes_max = bytes_max
        self._bytes = 0
        self._copies: dict[Key, Copy] = {}
        self._vary: dict[int, tuple[bytes, ...]] = {}
        """By the hash of a key, not the key: clients choose how long that is. Two keys of one hash
        cost a look-up: copies are found by the whole key."""
        self._keys_by_store_key: dict[bytes, set[Key]] = {}
        self._changes = 0
        self._doubts = 0
        self._changed: dict[bytes, int] = {}
        """Keys that changed lately, with the count at their last change."""
        self._watches = [
            tracking.watch(prefix, self.on_change) for prefix in (ENTRY_PREFIX, GENERATION_PREFIX)
        ]

    def close(self) -> None:
        """Stop watching and let go of everything."""
        for end_watch in self._watches:
            end_watch()
        self._clear()

    def __len__(self) -> int:
        return len(self._copies)

    def get(self, key: Key, headers: Headers, now: float) -> Copy | None:
        """Return the copy that answers the request at `now`, if it is fresh and verified."""
        copy = self._copies.get(key)
        if copy is None and self._vary and (names := self._vary.get(hash(key))) is not None:
            copy = self._copies.get((key, selecting_values(names, headers)))
        if copy is None or copy.fresh_until <= now or monotonic() >= self._tracking.verified_until:
            return None
        return copy

    def used(self, copy: Copy) -> bool:
        """Note that a copy is used; return whether it is time to tell the store of it."""
        copy.is_use_noted = True
        if self._copies.get(copy.key) is copy:
            del self._copies[copy.key]
            self._copies[copy.key] = copy
        now = monotonic()
        if now - copy.touched_at < TOUCH_S:
            return False
        copy.touched_at = now
        return True

    def mark(self) -> Mark:
        """Return the moment before a reading, for `put`."""
        return Mark(self._changes, self._doubts)

    def put(
        self, key: Key, entry: bytes, stored: Stored, generations: list[bytes], mark: Mark
    ) -> None:
        """Keep what was read, unless something it rests on changed since `mark`."""
        rests_on = (entry, *generations)
        if not self._tracking.is_live or mark.doubts != self._doubts:
            return
        if any(self._changed.get(name, 0) > mark.changes for name in rests_on):
            return
        self._note_vary(key, stored)
        self._remove(key)
        if stored.vary:
            key = key, stored.selecting
            self._remove(key)
        copy = Copy(key, entry, rests_on, stored)
        if copy.bytes > self._bytes_max // SHARE_MAX:
            return
        while self._bytes + copy.bytes > self._bytes_max:
            self._remove(next(iter(self._copies)))
        self._copies[key] = copy
        self._bytes += copy.bytes
        for name in rests_on:
            self._keys_by_store_key.setdefault(name, set()).add(key)

    def drop_urls(self, urls: list[bytes]) -> None:
        """Forget what this worker itself has just made invalid."""
        for generation in url_generations(urls):
            self.on_change(generation)

    def on_change(self, store_key: bytes | None) -> None:
        """Drop what rests on `store_key`; None: anything may have changed."""
        self._changes += 1
        if store_key is None:
            self._doubts += 1
            self._clear()
            return
        if len(self._changed) >= CHANGES_MAX:
            self._changed.clear()
            self._doubts += 1  # what is being read now is read again before it is kept
        self._changed[store_key] = self._changes
        for key in tuple(self._keys_by_store_key.get(store_key, ())):
            self._remove(key)

    def _note_vary(self, key: Key, stored: Stored) -> None:
        if not stored.vary:
            self._vary.pop(hash(key), None)
            return
        if len(self._vary) >= VARIES_MAX:
            self._vary.clear()
        self._vary[hash(key)] = stored.vary

    def _remove(self, key: Key) -> None:
        copy = self._copies.pop(key, None)
        if copy is None:
            return
        self._bytes -= copy.bytes
        for name in copy.rests_on:
            keys = self._keys_by_store_key[name]
            keys.discard(key)
            if not keys:
                del self._keys_by_store_key[name]

    def _clear(self) -> None:
        self._copies.clear()
        self._vary.clear()
        self._keys_by_store_key.clear()
        self._bytes = 0


def _key_bytes(key: Key) -> int:
    """Return what the texts of a key hold: clients choose how long a path is."""
    if isinstance(key, tuple):
        return sum(map(_key_bytes, key))
    return len(key) if isinstance(key, bytes) else 0
