"""How much of a chunked body may be something else: sizes and their zeros, extensions, trailers.

The parser shows no chunk extension, so what cannot be seen is counted: bytes fed that became no
body. Each chunk has its due; so has the body itself, byte for byte, for extensions in proportion.
What is left over piles up against one bound (after CVE-2023-39326, where nothing bounded it).
"""

from typing import Final

FREE_BYTES_PER_CHUNK: Final = 16
"""A size, two line breaks, and no more than a short extension."""


class ChunkAllowance:
    """Kept for one chunked body at a time."""

    __slots__ = ("_excess_bytes", "chunks")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.chunks = 0
        """Chunks begun since the last count."""
        self._excess_bytes = 0

    def excess_bytes(self, fed: int, received: int) -> int:
        """Count a slice of `fed` bytes of which `received` were body; return what is left over."""
        due = 2 * received + FREE_BYTES_PER_CHUNK * self.chunks
        self.chunks = 0
        self._excess_bytes = max(0, self._excess_bytes + fed - due)
        return self._excess_bytes
