"""Where to cut what a read brought, so that the parser is never fed past the end of a head.

A head, and a chunked body with its trailers, ends in an empty line, which may itself be cut by the
end of a read. An empty line inside a body only makes one slice more.
"""

from typing import Final

_END: Final = b"\r\n\r\n"


class Slices:
    """Remembers the last bytes of the message being read, in case an empty line began there."""

    __slots__ = ("_seam",)

    def __init__(self) -> None:
        self._seam = b""

    def boundary(self, buffer: bytes | bytearray, position: int, end: int) -> int:
        """Return where the first empty line ends that ends in these bytes, or 0."""
        seam = self._seam
        if seam:
            joint = seam + buffer[position : min(position + 3, end)]
            found = joint.find(_END)
            if found >= 0:
                return position + found + 4 - len(seam)
        found = buffer.find(_END, position, end)
        return found + 4 if found >= 0 else 0

    def cut_at(self, view: memoryview, position: int, stop: int) -> None:
        """The message goes on after `stop`."""
        self._seam = (self._seam + bytes(view[max(position, stop - 3) : stop]))[-3:]

    def restart(self) -> None:
        """Another message begins."""
        self._seam = b""
