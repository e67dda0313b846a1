"""From what a client presented to the caller it stands for, mostly without I/O.

Known are the keys of the file, and copies of what the store said, for as long as tracking is live
and unbroken since they were read (DESIGN, decision 5). Anything else is read from the store, once
for all who wait for it, and not kept if a change overtook it. While the store cannot be reached a
copy serves for 60 s after its reading; whom nobody knows then gets 503, never 401. Only keys with
a valid checksum reach the store at all. Hot: `recognise` costs about 1.3 µs, most of it hashing;
of a stranger it keeps the digest at hand, so that nothing else hashes.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from copy import copy
from hashlib import blake2s
from typing import Final

from tidegate.config.schema import Config
from tidegate.http import GatewayError, Headers
from tidegate.http.errors import StoreUnavailable
from tidegate.identity.copies import Copies, Copy
from tidegate.identity.credentials import unauthorized
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.key_format import (
    PRESENTED_BYTES_MAX,
    digest,
    is_presentable,
    is_well_formed,
)
from tidegate.identity.layout import TRACKED_PREFIXES
from tidegate.identity.models import Caller
from tidegate.identity.stored_callers import stored_caller
from tidegate.store import Store

COPIES_MAX: Final = 10_000
"""About 1.2 KB each."""
FOUND_MAX: Final = 50_000
"""About 0.12 KB each."""
COPY_LIFETIME_S: Final = 30.0
"""The last bound, should tracking ever miss a change: at most 333 readings a second if all copies
are in use."""
OUTAGE_LIFETIME_S: Final = 60.0
REFUSALS_MAX: Final = 4096
REFUSAL_LIFETIME_S: Final = 5.0


_Outcome = Caller | None | GatewayError
"""A failure is a value here, because everyone who waits needs an exception of his own."""


Met = tuple[bytes, bytes, Caller | None]
"""The mark and the digest (empty where it was not worth hashing) of a key that was presented, and
its caller if the file has it."""

_NO_DIGEST: Final = b""
_NOT_KNOWN: Final = "The API key is not known"


class Stranger:
    """A key that was not recognised, with its digest: empty where it was not worth hashing."""

    __slots__ = ("digest", "presented")

    def __init__(self, presented: bytes, digest: bytes) -> None:
        self.presented = presented
        self.digest = digest


class _Reading:
    """One reading of the store, shared by all who wait for the same key."""

    __slots__ = ("is_overtaken", "read_from", "task")
    task: asyncio.Task[_Outcome]

    def __init__(self) -> None:
        self.read_from: list[bytes] = []
        self.is_overtaken = False


class KeyResolver:
    """Watches, through the store's tracking, what its copies are made from, until `close`."""

    def __init__(
        self, config: Config, store: Store, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = FileObjects(config)
        self._store = store
        self._tracking = store.tracking
        self._clock = clock
        self._copies = Copies(COPIES_MAX)
        self._refusals = Copies(REFUSALS_MAX)
        self._found: dict[bytes, None] = {}
        """Digests of keys that the store has known, the last reading at the end. A change of plan,
        tenant or record drops a copy, but not these: only a reading that finds the key gone."""
        self._readings: dict[bytes, _Reading] = {}
        self._epoch = 0
        self._mark_key = secrets.token_bytes(32)
        self._met: dict[bytes, Met] = {}
        """By a keyed hash of what was presented its digest, and its caller if the file has it: half
        the cost of SHA-256 through OpenSSL. The file does not change while this lives."""
        self._watches = [
            self._tracking.watch(prefix, self._on_change) for prefix in TRACKED_PREFIXES
        ]

    def close(self) -> None:
        """Stop watching; to be called where the store outlives the resolver."""
        for end_watch in self._watches:
            end_watch()

    def recognise(self, presented: bytes) -> Caller | Stranger:
        """Return the caller if that takes no I/O: of a key of the file, or of a verified copy."""
        return self.known(presented, self.meet(presented))

    def meet(self, presented: bytes) -> Met:
        """Hash what is presented: all of recognising that will be the same the next time, for as
        long as this resolver lives.
        """
        if len(presented) > PRESENTED_BYTES_MAX:
            return b"", _NO_DIGEST, None
        # The mark's key is secret: nobody can steer towards a mark, so its look-up tells nothing.
        mark = blake2s(presented, key=self._mark_key).digest()
        met = self._met.get(mark)
        if met is None:
            return self._meet(mark, presented)
        if met[2] is not None and not hmac.compare_digest(met[0], mark):
            return mark, _NO_DIGEST, None  # another's
        return met

    def known(self, presented: bytes, met: Met) -> Caller | Stranger:
        """Return whose key was met, as `recognise` does."""
        _, hashed, caller = met
        if caller is not None:
            return caller
        held = self._verified(self._copies, hashed, COPY_LIFETIME_S)
        if held is not None and held.caller is not None:
            return held.caller
        return Stranger(presented, hashed)

    def is_key_of_file(self, value: bytes) -> bool:
        """Whether the file gives this key to somebody: by its digest, as everywhere."""
        if len(value) > PRESENTED_BYTES_MAX:
            return False
        return self._file.caller(digest(value)) is not None

    def has_met(self, stranger: Stranger) -> bool:
        """Whether this was somebody's key when last read, however long ago: then it is no guess."""
        return stranger.digest in self._found

    def refuse(self, stranger: Stranger) -> None:
        """Raise Unauthorized if this is no key and that takes no I/O to tell."""
        if not is_well_formed(stranger.presented):
            raise unauthorized(_why_malformed(stranger.presented))
        if self._verified(self._refusals, stranger.digest, REFUSAL_LIFETIME_S) is not None:
            raise unauthorized(_NOT_KNOWN)

    def _meet(self, mark: bytes, presented: bytes) -> Met:
        """Hash in full, and ask the file; remember that where a caller is known."""
        hashed = digest(presented)
        met = mark, hashed, self._file.caller(hashed)
        if met[2] is not None or self._copies.get(hashed) is not None:
            if len(self._met) >= COPIES_MAX:
                self._met.clear()
            self._met[mark] = met
        return met

    async def resolve(self, presented: bytes) -> Caller:
        """Return the caller, from the store if need be.

        Raises Unauthorized for what cannot be or is no key, StoreUnavailable where that cannot
        be told now, PlanMissing and RecordUnreadable where an operator must act.
        """
        found = self.recognise(presented)
        return await self.look_up(found) if isinstance(found, Stranger) else found

    async def look_up(self, stranger: Stranger) -> Caller:
        """Do what `resolve` does with a key that was not recognised; it may have waited since."""
        hashed = stranger.digest
        held = self._verified(self._copies, hashed, COPY_LIFETIME_S)
        if held is None:
            self.refuse(stranger)
        caller = await self._read_together(hashed) if held is None else held.caller
        if caller is None:
            raise unauthorized(_NOT_KNOWN)
        return caller

    def _verified(self, copies: Copies, hashed: bytes, lifetime_s: float) -> Copy | None:
        held = copies.get(hashed)
        if held is None or held.epoch != self._epoch or not self._tracking.is_live:
            return None
        now = self._clock()
        if now - held.read_at_s >= lifetime_s or now >= held.ends_at_s:
            return None
        return held if hmac.compare_digest(held.digest, hashed) else None

    async def _read_together(self, hashed: bytes) -> Caller | None:
        reading = self._readings.get(hashed)
        if reading is None:
            reading = self._readings[hashed] = _Reading()
            reading.task = asyncio.create_task(self._read(hashed, reading))
        # Shielded: a waiter that is cancelled takes nothing away from the others.
        outcome = await asyncio.shield(reading.task)
        if isinstance(outcome, GatewayError):
            raise _own_copy(outcome) from outcome
        return outcome

    async def _read(self, hashed: bytes, reading: _Reading) -> _Outcome:
        read_at_s = self._clock()
        epoch = self._epoch
        try:
            found = await stored_caller(self._store, self._file, hashed, reading.read_from)
        except StoreUnavailable as error:
            held = self._copies.get(hashed)
            now = self._clock()
            if held is None or now - held.read_at_s > OUTAGE_LIFETIME_S or now >= held.ends_at_s:
                return error
            return held.caller
        except GatewayError as error:
            return error
        finally:
            if self._readings.get(hashed) is reading:
                del self._readings[hashed]
        self._note(hashed, is_found=found.caller is not None)
        if not reading.is_overtaken:
            # Counted from before the question, so that a copy ends a trip early, never late.
            ends_at_s = read_at_s + found.ends_in_s
            read_from = tuple(reading.read_from)
            self._keep(Copy(hashed, found.caller, read_from, read_at_s, epoch, ends_at_s))
        return found.caller

    def _note(self, hashed: bytes, *, is_found: bool) -> None:
        self._found.pop(hashed, None)
        if is_found:
            if len(self._found) >= FOUND_MAX:
                del self._found[next(iter(self._found))]
            self._found[hashed] = None

    def _keep(self, read: Copy) -> None:
        if read.caller is None:
            self._copies.remove(read.digest)
            self._refusals.put(read)
        else:
            self._copies.put(read)

    def _on_change(self, store_key: bytes | None) -> None:
        """Drop what rests on `store_key`; None: every copy must be read again before use.

        Tracking says None also when it becomes live, so what was read while it was not is never
        taken for verified.
        """
        if store_key is None:
            self._epoch += 1
        else:
            self._copies.drop_read_from(store_key)
            self._refusals.drop_read_from(store_key)
        for hashed, reading in tuple(self._readings.items()):
            if store_key is None or store_key in reading.read_from:
                # Who comes from now on must not join a reading that may be older than the change.
                reading.is_overtaken = True
                del self._readings[hashed]


def _why_malformed(presented: bytes) -> str:
    if presented.startswith(b"tg_") and is_presentable(presented):
        return "The API key is malformed: its checksum does not hold, so a part may be missing"
    if not is_presentable(presented):
        return f"The API key is malformed: it must be 1 to {PRESENTED_BYTES_MAX} visible characters"
    return _NOT_KNOWN


def _own_copy(error: GatewayError) -> GatewayError:
    """Return an equal error for one waiter: policies extend its headers on the way out."""
    own = copy(error)
    own.headers = Headers(error.headers)
    return own
