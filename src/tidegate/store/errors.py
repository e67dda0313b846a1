"""What can go wrong between the gateway and its store, as types.

Three kinds: the store cannot serve (`StoreUnavailable`, a 503 that passes by itself), the store
served and said no to one command (`CommandFailed`, our own fault), and the store may not be used as
it is set up (`StoreRefused`, which needs a human and says what to change).
"""

import asyncio
from typing import Any, Final

from hiredis import ReplyError

from tidegate.http.errors import GatewayError, StoreUnavailable

RETRY_AFTER: Final = ((b"retry-after", b"1"),)

CANNOT_SERVE: Final = frozenset(
    {
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",
        "WRONGPASS",
    }
)
"""Error codes that speak of the server's state, whatever the command was."""


class CommandFailed(GatewayError):
    """The store's error reply to one command. What it said is for logs, not for clients."""

    slug = "store-command-failed"
    title = "The gateway's store refused a command"

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        self.code = message.partition(" ")[0]

    def __str__(self) -> str:
        return self.message


class StoreRefused(Exception):
    """The store, or the data directory, may not be used as it is set up: says what to change."""


def unavailable(detail: str) -> StoreUnavailable:
    """Return a new error for one waiter: policies extend its headers, so none is shared."""
    return StoreUnavailable(detail, headers=RETRY_AFTER)


def fail(waiter: asyncio.Future[Any], error: Exception) -> asyncio.Future[Any]:
    """Fail `waiter` if it still waits; that nobody comes to read it is no news for the log."""
    if not waiter.done():
        waiter.set_exception(error)
        waiter.exception()
    return waiter


def reply_failure(reply: ReplyError) -> StoreUnavailable | CommandFailed:
    """Return what an error reply means."""
    message = str(reply)
    code = message.partition(" ")[0]
    if code in CANNOT_SERVE:
        return unavailable(f"The store cannot serve now ({code})")
    return CommandFailed(message)
