"""Which hash slot of a Cluster a command belongs to, by its first key. Pure.

Source: the Redis Cluster specification, "Key distribution model" and "Hash tags": CRC-16/XMODEM of
the key, or of what stands between its first `{` and the next `}`, modulo 16384. Commands whose
further keys lie elsewhere are the server's to refuse (CROSSSLOT).
"""

from binascii import crc_hqx
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

SLOTS: Final = 16384

_FIRST_KEY: Final = {
    **dict.fromkeys(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"), 3),
    **dict.fromkeys(("BITOP", "MEMORY", "OBJECT", "XGROUP", "XINFO"), 2),
    **dict.fromkeys(("LMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZMPOP", "ZUNION"), 2),
}
"""Where the first key stands, if not right after the command's name."""
_ANYWHERE: Final = frozenset(
    ("CLIENT", "COMMAND", "CONFIG", "ECHO", "INFO", "PING", "PUBLISH", "TIME")
)
"""Speak of no key, and every server has an answer."""
_EVERYWHERE: Final = frozenset(
    ("DBSIZE", "FLUSHALL", "FLUSHDB", "FUNCTION", "KEYS", "RANDOMKEY", "SCAN", "SCRIPT")
)
"""Mean the whole store, of which each server holds a part only."""

Part = bytes | str | int | float


class NotRoutable(ValueError):
    """The command names no one server of a Cluster; `str()` says why."""


def key_slot(key: bytes) -> int:
    """Return the slot of a key."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def command_slot(parts: Sequence[Part]) -> int | None:
    """Return the slot of a command; None if any server may answer it. Raises NotRoutable."""
    name = _bytes(parts[0]).decode("latin-1").upper()
    if name in _ANYWHERE:
        return None
    if name == "SCAN":
        pattern = _pattern(parts)
        if pattern is not None and (tag := _literal_tag(pattern)) is not None:
            return key_slot(b"{%b}" % tag)
    if name in _EVERYWHERE:
        raise NotRoutable(
            f"{name} means a whole store, and each server of a Cluster holds a part of it: ask "
            "each (`primaries` of the store's connection)"
            + (", or match a pattern with a {hash tag}" if name == "SCAN" else "")
        )
    place = _FIRST_KEY.get(name, 1)
    if len(parts) <= place:
        raise NotRoutable(f"{name} names no key, so no server of the Cluster either")
    return key_slot(_bytes(parts[place]))


def _pattern(parts: Sequence[Part]) -> bytes | None:
    words = [_bytes(part) for part in parts]
    for option, value in pairwise(words[2:]):
        if option.upper() == b"MATCH":
            return value
    return None


def _literal_tag(pattern: bytes) -> bytes | None:
    """Return the hash tag that all keys have which match; None where they may differ."""
    before, opening, rest = pattern.partition(b"{")
    tag, closing, _ = rest.partition(b"}")
    is_literal = not any(special in before + tag for special in b"*?[\\")
    return tag if opening and closing and tag and is_literal else None


def _bytes(part: Part) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()
