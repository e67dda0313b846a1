"""Lua scripts as values: a name for messages, the source, and the hash by which a server knows it.

Nothing here is loaded at start: `Connection.run` sends the hash (EVALSHA), and the source only to a
server that does not know it, so that a store which restarted or failed over needs no care.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Self


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
