"""What a server of a Cluster says where it does not serve a command, and how that is sent on.

`MOVED slot place`: the slot is another's now. `ASK slot place`: this one command, there, once.
`TRYAGAIN`: its keys are on their way, some here, some there. Source: Cluster specification,
"Redirection and resharding". What is sent on keeps its waiter and its deadline, and is never one
that was run. A command that is sent on too often is given up: two servers may point at each other.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from tidegate.store.address import Place

HOPS_MAX: Final = 5


class Repeatable(Protocol):
    """What can be sent again, for the same waiter."""

    command: bytes
    slot: int

    def by_source(self) -> bytes:
        """Return the same for a server that does not know a script's hash."""


Redirect = Callable[[str, asyncio.Future[Any], float, Repeatable], bool]
"""Takes an error, its waiter, the deadline and what was sent; returns whether it takes care."""


class Routed:
    """A command on its way through a Cluster."""

    __slots__ = ("_call", "command", "hops", "is_asking", "place", "slot")

    def __init__(
        self, command: bytes, slot: int, *, hops: int = 0, call: Repeatable | None = None
    ) -> None:
        self.command = command
        self.slot = slot
        self.hops = hops
        self.place: Place | None = None
        """Whose it is, once there is a link to it; None: whoever has the slot then."""
        self.is_asking = False
        """Whether the slot is on its way to `place`, which is told so."""
        self._call = call

    @classmethod
    def of(cls, call: Repeatable) -> "Routed":
        """Return `call` as it is sent again, to whom it was sent."""
        return call if isinstance(call, Routed) else cls(call.command, call.slot, call=call)

    def referred_to(self, place: Place, *, is_asking: bool) -> "Routed":
        """Return the same as it is sent on."""
        on = Routed(self.command, self.slot, hops=self.hops + 1, call=self._call)
        on.place, on.is_asking = place, is_asking
        return on

    def by_source(self) -> bytes:
        return self.command if self._call is None else self._call.by_source()


class Referral(NamedTuple):
    slot: int
    place: Place
    is_moved: bool
    """False: asked this once."""


def referral(message: str, answered_by: str) -> Referral | None:
    """Return where an error sends to, if it does; a place without host is at who answered."""
    words = message.split(" ")
    if words[0] not in ("MOVED", "ASK") or len(words) < 3 or not words[1].isdigit():
        return None
    host, _, port = words[2].rpartition(":")
    if not port.isdigit():
        return None
    return Referral(int(words[1]), Place(host or answered_by, int(port)), words[0] == "MOVED")
