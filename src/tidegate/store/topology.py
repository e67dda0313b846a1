"""Which server of a Cluster has which slots: learned from any of them, and asked for all the time.

A manual fail-over drops no connection, so that only asking tells of it: POLL_S at the latest, at
once where a command was referred elsewhere or a link ended. What servers say is taken from one at
a time, and from the next if it does not answer. One that is cut off from the rest says so itself
(`cluster_state:fail`): where it knows less than was known here, it is not believed. One task for
all connections of a process. Source: CLUSTER SLOTS, which every version has.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address, Place
from tidegate.store.errors import CommandFailed, StoreRefused, unavailable
from tidegate.store.facts import info_fields
from tidegate.store.link import open_link
from tidegate.store.slots import SLOTS

POLL_S: Final = 0.25
"""With what gossip needs, within the 500 ms for which copies are verified."""
POLL_MIN_S: Final = 0.02
"""However many commands are referred elsewhere at once."""
ASK_TIMEOUT_S: Final = 0.5

logger: Final = logging.getLogger("tidegate.store")

_FAILURES: Final = (OSError, UnicodeError, StoreUnavailable, StoreRefused)

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Shard:
    primary: Place
    ranges: Ranges
    """First and last slot of each."""
    replicas: tuple[Place, ...]


View = tuple[Shard, ...]


class Topology:
    """`join` starts asking, for the first; `leave` ends it, with the last."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.view: View = ()
        """Empty: nobody has answered yet."""
        self.is_well = False
        """Whether the nodes say that the Cluster serves (`cluster_state:ok`)."""
        self.failure: Exception | None = None
        """Why nobody could be asked, at the last attempt."""
        self._epoch = -1
        self._watchers: list[Callable[[], None]] = []
        self._follower: asyncio.Task[None] | None = None
        self._asked_for = asyncio.Event()

    def join(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called when slots have other servers, and when nobody answers."""
        self._watchers.append(on_change)
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow(), name="store topology")

    async def leave(self, on_change: Callable[[], None]) -> None:
        self._watchers.remove(on_change)
        if not self._watchers and self._follower is not None:
            follower, self._follower = self._follower, None
            follower.cancel()
            await asyncio.wait([follower])

    def refresh(self) -> None:
        """Ask soon: something speaks for a change."""
        self._asked_for.set()

    @property
    def slots_served(self) -> int:
        return sum(last - first + 1 for shard in self.view for first, last in shard.ranges)

    async def _follow(self) -> None:
        # Gateways of a fleet that lost the Cluster at one moment ask other nodes, at other times.
        first, turn, told = random.randrange(SLOTS), 0, ""  # noqa: S311 - it guards no secret
        while True:
            candidates = self._candidates()
            place = candidates[(first + turn) % len(candidates)]
            turn += 1
            try:
                await self._follow_one(place)
            except CommandFailed as error:
                why = f"redis.url: {place} is no node of a Cluster ({error}): use redis:// for it"
                self._failed(StoreRefused(why))
            except _FAILURES as error:
                self._failed(error)
            except Exception as error:  # whatever a node says, it is no reason not to ask again
                if repr(error) != told:
                    told = repr(error)
                    logger.exception("what %s says of the Cluster is not understood", place)
                self._failed(error)
            whole_round_s = POLL_S * random.uniform(0.5, 1.5)  # noqa: S311
            await self._pause(whole_round_s if turn % len(candidates) == 0 else POLL_MIN_S)

    def _candidates(self) -> list[Place]:
        """Return whom to ask: those of the last view, primaries first, and those of the URL."""
        primaries = (shard.primary for shard in self.view)
        replicas = (place for shard in self.view for place in shard.replicas)
        return list(dict.fromkeys((*primaries, *replicas, *self._address.asked)))

    async def _follow_one(self, place: Place) -> None:
        """Ask one server until it does not answer, or says that it is cut off."""
        async with asyncio.timeout(ASK_TIMEOUT_S):
            link = await open_link(
                self._address.at(place), timeout_s=ASK_TIMEOUT_S, name="tidegate-topology"
            )
        try:
            while True:
                slots = link.execute(b"CLUSTER", b"SLOTS")
                state = info_fields(await link.execute(b"CLUSTER", b"INFO"))
                is_well = state.get("cluster_state") == "ok"
                epoch = int(state.get("cluster_current_epoch", "0"))
                view = parsed_view(await slots, place)
                if is_well or epoch >= self._epoch:
                    self._epoch = epoch
                    self._learned(view, is_well=is_well)
                if not is_well and len(self._candidates()) > 1:
                    return
                await self._pause(POLL_S)
        finally:
            link.abort("No longer asked")

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(POLL_MIN_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked_for.wait()
        self._asked_for.clear()

    def _learned(self, view: View, *, is_well: bool) -> None:
        self.failure = None
        if (view, is_well) != (self.view, self.is_well):
            if view != self.view:  # who compares the view sees by `is` that it is another
                self.view = view
            self.is_well = is_well
            self._tell()

    def _failed(self, error: Exception) -> None:
        self.failure = error
        self._tell()

    def _tell(self) -> None:
        for on_change in tuple(self._watchers):
            on_change()


def parsed_view(reply: Iterable[Any], asked: Place) -> View:
    """Return the shards of a reply to CLUSTER SLOTS; a server without host is the one asked."""
    ranges: dict[Place, list[tuple[int, int]]] = {}
    replicas: dict[Place, list[Place]] = {}
    for first, last, *nodes in reply:
        places = [_place(node, asked) for node in nodes]
        ranges.setdefault(places[0], []).append((first, last))
        replicas.setdefault(places[0], []).extend(places[1:])
    return tuple(
        Shard(primary, tuple(sorted(held)), tuple(sorted(set(replicas[primary]))))
        for primary, held in sorted(ranges.items())
    )


def _place(node: Any, asked: Place) -> Place:
    host = (node[0] or b"").decode()
    return Place(asked.host if host in ("", "?") else host, int(node[1]))


def incomplete(view: View, shown: str) -> StoreUnavailable:
    """Return the error of a Cluster some of whose slots nobody has."""
    free, following = [], 0
    for first, last in sorted(held for shard in view for held in shard.ranges):
        if first > following:
            free.append(f"{following}-{first - 1}")
        following = last + 1
    if following < SLOTS:
        free.append(f"{following}-{SLOTS - 1}")
    return unavailable(
        f"The Cluster at {shown} serves only a part of its {SLOTS} slots, nobody has "
        f"{', '.join(free[:5])}: see to it with `redis-cli --cluster check` and `--cluster fix`"
    )
