"""Lua scripts as values: a name for messages, the source, and the hash by which a server knows it;
and a script's call, packed once for any number of times.

Nothing here is loaded at start: `Connection.run` sends the hash (EVALSHA), and the source only to a
server that does not know it, so that a store which restarted or failed over needs no care.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from hiredis import pack_command

pack: Final[Callable[[tuple[Any, ...]], bytes]] = pack_command
"""Bytes, str, int and float become one command; anything else is a TypeError."""


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    source: bytes = field(repr=False)
    sha: bytes
    """Lower-case hex of SHA-1, which is how EVALSHA names a script: an address, not a seal."""

    @classmethod
    def of(cls, name: str, source: str | bytes) -> Self:
        source = source.encode() if isinstance(source, str) else source
        digest = hashlib.sha1(source, usedforsecurity=False).hexdigest()
        return cls(name, source, digest.encode())


class ScriptCall:
    """A script with its keys and arguments, packed once and sent any number of times."""

    __slots__ = ("_arguments", "_script", "command", "keys", "slot")

    def __init__(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes | int]
    ) -> None:
        self._script = script
        self.keys = keys
        self.slot = -1
        """Of a Cluster, once it was asked for."""
        self._arguments = arguments
        self.command = pack((b"EVALSHA", script.sha, len(keys), *keys, *arguments))

    def by_source(self) -> bytes:
        """Return the same call for a server that does not know the hash."""
        keys = self.keys
        return pack((b"EVAL", self._script.source, len(keys), *keys, *self._arguments))
