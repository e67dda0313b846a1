"""Entries in the store: looked up, committed, forgotten. On a connection of the cache's own.

A look-up is three commands in one write: the generations, the request's own space, the public one.
Nothing here raises for a store that is slow or down: a look-up then finds nothing and allows
nothing to be stored, and a purge alone tells. Bodies up to INLINE_BYTES_MAX lie in the entry,
larger ones apart, written and read in pieces (bodies.py).
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tidegate.cache.places import (
    ALL,
    BODY_PREFIX,
    BYTES,
    EXPIRY,
    GENERATION_S,
    HELD,
    KEPT_S_MAX,
    LAST_USE,
    READING_PREFIX,
    VARY_FIELD,
    Generations,
    Place,
    member,
    new_generation,
    tenant_generation,
    url_generations,
    variant_field,
)
from tidegate.cache.scripts import COMMIT, READ, TOUCH, WRITE
from tidegate.cache.stored import Stored, unpacked
from tidegate.cache.vary import selecting_values
from tidegate.http import Headers
from tidegate.http.errors import GatewayError
from tidegate.store import CommandFailed, StoreConnection

logger = logging.getLogger("tidegate.cache")

INLINE_BYTES_MAX: Final = 64 * 1024
"""A body so small is read with its entry, and may be held in a worker's memory."""
VARIANTS_MAX: Final = 16
"""Of one URL in one space; the one stored first goes when there is another."""
VARIES_MAX: Final = 4096
"""Entries whose Vary is remembered, so that their variant is asked for at once."""
OVERHEAD_BYTES: Final = 512
"""What an entry costs the store besides its bytes: its key, and its three accounts."""
UNFINISHED_S: Final = 120
"""A body that is not being written any more is gone after it."""
READ_AHEAD_S: Final = 60
"""For so long the next piece of a body that somebody reads stays, whatever becomes of its entry."""
ADMIN_TIMEOUT_S: Final = 2.0


class LookUp:
    """A question that is under way. `Storage.found` awaits it."""

    __slots__ = ("guessed", "place", "replies")

    def __init__(self, place: Place, guessed: bytes, replies: list[asyncio.Future[Any]]) -> None:
        self.place = place
        self.guessed = guessed
        self.replies = replies


class Found:
    """What a look-up found: valid entries, the request's own first, and what is valid there.

    `generations` None: the store did not answer, so nothing may be stored either.
    """

    __slots__ = ("entries", "generations", "has_variants", "public")

    def __init__(self, generations: Generations | None, public: bytes = b"") -> None:
        self.generations = generations
        self.public = public
        self.entries: list[tuple[bytes, Stored]] = []
        """Each with the key under which it lies."""
        self.has_variants = False
        """Something is stored for the URL, if not for this request."""


class Storage:
    """`connection` is the cache's own, so that no body delays a decision about limits."""

    def __init__(self, connection: StoreConnection, bytes_max: int) -> None:
        self._connection = connection
        self._bytes_max = bytes_max
        self._varies: dict[bytes, tuple[bytes, ...]] = {}

    def look_up(self, place: Place, headers: Headers) -> LookUp:
        """Queue the question. Never raises."""
        vary = self._varies.get(place.own) or self._varies.get(place.public) or ()
        guessed = selecting_values(vary, headers)
        field = variant_field(guessed)
        ask = self._connection.execute
        replies = [
            ask(b"MGET", *place.generations),
            ask(b"HMGET", place.own, VARY_FIELD, field),
            ask(b"HMGET", place.public, VARY_FIELD, field),
        ]
        return LookUp(place, guessed, replies)

    async def found(self, look_up: LookUp, headers: Headers) -> Found:
        """Return what the store answered. Never raises but for cancellation."""
        place = look_up.place
        try:
            values, own, public = [await reply for reply in look_up.replies]
            found = Found(Generations(values), place.public)
            for key, reply in ((place.own, own), (place.public, public)):
                await self._take(found, key, reply, look_up.guessed, headers)
        except GatewayError as error:
            if isinstance(error, CommandFailed):
                logger.warning("an entry of the cache cannot be read: %s", error)
            return Found(None)
        return found

    async def _take(
        self,
        found: Found,
        key: bytes,
        reply: Sequence[bytes | None],
        guessed: bytes,
        headers: Headers,
    ) -> None:
        """Add the entry at `key` to `found`, if there is a valid one for the request."""
        directory, packed = reply
        if directory is None:
            return
        names = directory.partition(b"\n")[0]
        vary = tuple(names.split(b",")) if names else ()
        selecting = selecting_values(vary, headers)
        if selecting != guessed:
            self._remember_vary(key, vary)
            packed = await self._connection.execute(b"HGET", key, variant_field(selecting))
        if packed is None and vary:
            found.has_variants = True
        stored = None if packed is None else unpacked(packed)
        if stored is None or stored.vary != vary or stored.selecting != selecting:
            return
        valid = found.generations
        assert valid is not None  # noqa: S101 - see found
        if stored.generation == (valid.public if key == found.public else valid.own):
            found.entries.append((key, stored))

    def commit(
        self, key: bytes, place: Place, stored: Stored, keep_s: float
    ) -> asyncio.Future[Any]:
        """Make `stored` visible at `key`, in one step; the reply says `stored` or why not."""
        self._remember_vary(key, stored.vary)
        packed = stored.packed()
        apart = stored.body_length if stored.body_id else 0
        generations = place.generations[: stored.generation.count(b",") + 1]
        reply = self._connection.run(
            COMMIT,
            (key, LAST_USE, EXPIRY, HELD, BYTES, *generations),
            (
                variant_field(stored.selecting),
                b",".join(stored.vary),
                packed,
                len(packed) + apart + OVERHEAD_BYTES,
                max(1, int(min(keep_s, KEPT_S_MAX))),
                self._bytes_max,
                stored.body_id,
                stored.body_length,
                stored.generation,
                VARIANTS_MAX,
                BODY_PREFIX,
                READING_PREFIX,
                GENERATION_S,
            ),
        )
        reply.add_done_callback(_note_failure)
        return reply

    def touch(self, key: bytes, stored: Stored) -> None:
        """Tell the store that an entry was used. Nobody waits for it."""
        self._connection.run(TOUCH, (LAST_USE,), (member(key, stored),))

    def write(self, body_id: bytes, position: int, piece: bytes) -> asyncio.Future[Any]:
        """Append to a body; the reply is its length, -1 if `position` is not its end."""
        arguments = (position, piece, UNFINISHED_S)
        return self._connection.run(WRITE, (BODY_PREFIX + body_id,), arguments)

    def read(
        self, body_id: bytes, position: int, length: int, timeout_s: float | None = None
    ) -> asyncio.Future[Any]:
        """Read a piece of a body, and see to it that the next one will be there."""
        keys = (BODY_PREFIX + body_id, READING_PREFIX + body_id)
        return self._connection.run(READ, keys, (position, length, READ_AHEAD_S), timeout_s)

    def drop(self, body_id: bytes) -> None:
        """Delete a body that no entry names. Nobody waits for it."""
        self._connection.execute(b"UNLINK", BODY_PREFIX + body_id)

    def invalidate(self, urls: Iterable[bytes]) -> list[asyncio.Future[Any]]:
        """Queue that all entries of `urls` become invalid, of all tenants. Never raises."""
        return [self._renew(key) for key in url_generations(urls)]

    async def purge_urls(self, urls: Iterable[bytes]) -> None:
        """Forget every entry of `urls` (places.url_digest). Raises StoreUnavailable."""
        for reply in [self._renew(key, ADMIN_TIMEOUT_S) for key in url_generations(urls)]:
            await reply

    async def purge_tenant(self, tenant: str) -> None:
        """Forget every entry of a tenant's own. Raises StoreUnavailable."""
        await self._renew(tenant_generation(tenant), ADMIN_TIMEOUT_S)

    async def purge_all(self) -> None:
        """Forget every entry. Raises StoreUnavailable."""
        await self._renew(ALL, ADMIN_TIMEOUT_S)

    def _renew(self, generation: bytes, timeout_s: float | None = None) -> asyncio.Future[Any]:
        return self._connection.execute(
            b"SET", generation, new_generation(), b"EX", GENERATION_S, timeout_s=timeout_s
        )

    def _remember_vary(self, key: bytes, vary: tuple[bytes, ...]) -> None:
        if len(self._varies) >= VARIES_MAX:
            self._varies.clear()
        if vary:
            self._varies[key] = vary
        else:
            self._varies.pop(key, None)


def _note_failure(reply: asyncio.Future[Any]) -> None:
    """A script that fails would else only show as an entry that never comes."""
    if not reply.cancelled() and isinstance(error := reply.exception(), CommandFailed):
        logger.warning("an answer could not be stored: %s", error)
