"""Where entries lie in the store, and which generation of them is valid.

An entry is a hash under a space and a URL: a tenant's own space, the one of callers without a
key, or the public one. Its field `v` names what it varies by, and each variant is a field. What a
purge or an invalidation changes is a generation, one key each for all, for a tenant and for a slot
of URLs: an entry is valid only beside the generations under which it was fetched, so that
forgetting costs one write however much there is to forget, and what was on its way meanwhile is
never stored. Slots are few, because strangers choose URLs: what shares one is forgotten with it.
"""

import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from tidegate.cache.stored import Stored

KEPT_S_MAX: Final = 7 * 86_400
"""The longest an entry is kept, whatever its freshness."""
GENERATION_S: Final = KEPT_S_MAX + 86_400
"""A generation outlives every entry of the one before, which else would be valid again."""

PREFIX: Final = b"tg:{cache}:"
ENTRY_PREFIX: Final = PREFIX + b"e:"
GENERATION_PREFIX: Final = PREFIX + b"g:"
BODY_PREFIX: Final = PREFIX + b"b:"
READING_PREFIX: Final = PREFIX + b"r:"
"""Present while somebody reads the body of that name: it is then not deleted at once."""
LAST_USE: Final = PREFIX + b"last-use"
"""Sorted set of members (entry and variant) by their last use, in ms."""
EXPIRY: Final = PREFIX + b"expiry"
"""Sorted set of members by when they expire, in s."""
HELD: Final = PREFIX + b"held"
"""Hash: member to `bytes:body id`."""
BYTES: Final = PREFIX + b"bytes"
"""The sum of all bytes in HELD."""

ALL: Final = GENERATION_PREFIX + b"all"
SLOT_DIGITS: Final = 4
"""Hexadecimal: 65,536 generations of URLs at most, about 10 MB."""
VARY_FIELD: Final = b"v"
_DIGEST_BYTES: Final = 16


class Place:
    """Where the answers to one request may lie: in its own space, or in the public one.

    Costs 3 µs, so it is made only when the store is asked.
    """

    __slots__ = ("generations", "own", "public", "url")

    def __init__(self, tenant: str | None, route: bytes, scheme: str, host: bytes,
                 target: bytes, claims: bytes) -> None:  # fmt: skip
        """`claims`: what trusted proxies said of the request that the service may answer by."""
        self.url = url_digest(route, host, target)
        name = b"%b:%b%b" % (self.url, scheme.encode(), claims and _digest(claims))
        space = b"none" if tenant is None else b"t:" + tenant.encode()
        self.own = b"%b%b:%b" % (ENTRY_PREFIX, space, name)
        self.public = b"%bpublic:%b" % (ENTRY_PREFIX, name)
        self.generations = [ALL, *url_generations((self.url,))]
        if tenant is not None:
            self.generations.append(tenant_generation(tenant))

    def rests_on(self, entry: bytes) -> list[bytes]:
        """Return the generations beside which what lies at `entry`, one of the two, is valid."""
        return self.generations[:2] if entry == self.public else self.generations


class Generations:
    """What is valid at a place: the values of its generations when it was looked up."""

    __slots__ = ("own", "public")

    def __init__(self, values: Sequence[bytes | None]) -> None:
        said = [value or b"-" for value in values]
        self.own = b",".join(said)
        self.public = b",".join(said[:2])


def url_digest(route: bytes, host: bytes, target: bytes) -> bytes:
    """Return the name of a URL on a route, whatever its scheme."""
    return _digest(b"\0".join((route, host, target)))


def tenant_generation(tenant: str) -> bytes:
    return GENERATION_PREFIX + b"t:" + tenant.encode()


def url_generations(urls: Iterable[bytes]) -> list[bytes]:
    return [GENERATION_PREFIX + b"u:" + url[:SLOT_DIGITS] for url in urls]


def new_generation() -> bytes:
    """Return a value that no generation ever had."""
    return os.urandom(12).hex().encode()


def variant_field(selecting: bytes) -> bytes:
    return b"=" + selecting.hex().encode()


def member(entry: bytes, stored: Stored) -> bytes:
    """Return the name of one variant of an entry in LAST_USE, EXPIRY and HELD."""
    return b"%b\n%b" % (entry, variant_field(stored.selecting))


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_BYTES).hexdigest().encode()
