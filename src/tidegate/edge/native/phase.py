"""The phases of a connection, from open to gone."""

from enum import Enum, auto


class Phase(Enum):
    """What becomes of bytes that arrive, and of what is still to be written."""

    OPEN = auto()
    LAST = auto()
    """Arriving bytes are ignored: the last request, or what took its place, is read."""
    LINGERING = auto()
    """All is answered and FIN sent; what arrives is ignored until the client closes too."""
    CLOSING = auto()
    """What is written may still leave."""
    GONE = auto()
