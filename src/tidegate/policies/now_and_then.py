"""What would be said in the log for each request is said once a minute: more would drown the rest.

`has_come` starts the minute over, so ask it last, when there is something to say.
"""

from time import monotonic
from typing import Final

EVERY_S: Final = 60.0


class NowAndThen:
    """Of one thing that is said."""

    __slots__ = ("_silent_until",)

    def __init__(self) -> None:
        self._silent_until = 0.0

    def has_come(self) -> bool:
        """Return whether to say it now; if so, it is not to be said again for a minute."""
        now = monotonic()
        if now < self._silent_until:
            return False
        self._silent_until = now + EVERY_S
        return True
