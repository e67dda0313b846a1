"""Says in the log why a target cannot be reached, and when it can be again.

Answers never tell, since clients read them. Told of failed connects, of which there may be
thousands a second: a line is written at once, the next one not before `QUIET_S` have passed.
"""

import logging
import socket
import ssl
from math import inf
from typing import Final

from tidegate.upstream.target import Target

QUIET_S: Final = 10.0
"""Between two lines about one target: often enough to be seen, too seldom to fill a log."""

logger: Final = logging.getLogger("tidegate.upstream")


class Reach:
    """What the log says of one target of a service."""

    __slots__ = ("_name", "_quiet_until_s", "is_told_away")

    def __init__(self, target: Target, service: str) -> None:
        self._name = f"{target.scheme}://{target.authority.decode()} of service {service}"
        self._quiet_until_s = -inf
        self.is_told_away = False
        """The last line about it says that it cannot be reached."""

    def failed(self, error: OSError, now_s: float) -> None:
        """A connect failed with `error`."""
        if now_s < self._quiet_until_s:
            return
        self._quiet_until_s = now_s + QUIET_S
        self.is_told_away = True
        logger.warning("%s cannot be reached: %s", self._name, reason_of(error))

    def returned(self) -> None:
        """A connect succeeded after `is_told_away`."""
        self.is_told_away = False
        logger.info("%s is reached again", self._name)


def reason_of(error: OSError) -> str:
    """Return in words why a connect failed, as a phrase that may follow a colon."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be verified, {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection, {error.strerror or error}"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved, {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    return error.strerror or str(error) or "the connection was closed at once"
