"""What an API key looks like: `tg_live_<30 random>_<6 checksum>`, all base62.

The checksum is the CRC-32 of everything before it. It proves nothing about who made the key; it
lets the gateway refuse a typo or a guess before any I/O, and a secret scanner tell a real key
from a look-alike (2^-32) without asking anybody. 30 base62 characters hold 178 bits, so a plain
SHA-256 of the key can be stored: there is nothing to guess, hence nothing to slow down. Hot:
`digest` costs 0.7 µs and comes first, `is_well_formed` only where that digest is not yet known.
"""

import hashlib
import re
import secrets
import zlib
from typing import Final

PREFIX: Final = "tg_live_"
RANDOM_CHARACTERS: Final = 30
CHECKSUM_CHARACTERS: Final = 6
"""62^6 exceeds 2^32, so every CRC-32 fits and has exactly one spelling."""

PRESENTED_BYTES_MAX: Final = 256
"""A longer value is not even hashed."""

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY: Final = re.compile(
    rb"(tg_live_[0-9A-Za-z]{%d})_([0-9A-Za-z]{%d})" % (RANDOM_CHARACTERS, CHECKSUM_CHARACTERS)
)
_PRESENTABLE: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % PRESENTED_BYTES_MAX)


def new_key() -> str:
    """Return a fresh key from the system's randomness."""
    body = PREFIX + random_base62(RANDOM_CHARACTERS)
    return f"{body}_{_checksum(body.encode())}"


def is_well_formed(presented: bytes) -> bool:
    """True if `presented` has the form of a key and its checksum holds."""
    match = _KEY.fullmatch(presented)
    return match is not None and _checksum(match[1]).encode() == match[2]


def is_presentable(presented: bytes) -> bool:
    """True if `presented` could be a key at all: visible ASCII, at most 256 bytes."""
    return _PRESENTABLE.fullmatch(presented) is not None


def digest(presented: bytes) -> bytes:
    """Return the SHA-256 under which a key is stored and compared."""
    return hashlib.sha256(presented).digest()


def random_base62(characters: int) -> str:
    """Return uniformly random base62 characters from the system's randomness."""
    return "".join(secrets.choice(_BASE62) for _ in range(characters))


def base62(number: int, characters: int) -> str:
    """Return the last `characters` base62 digits of `number`, padded with zeros."""
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _checksum(body: bytes) -> str:
    return base62(zlib.crc32(body), CHECKSUM_CHARACTERS)
