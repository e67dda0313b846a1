"""Which server is the primary, as Sentinels say: asked at each attempt to connect, and followed.

All are asked at once, and the answer of the highest configuration epoch counts: a Sentinel that was
cut off still names the primary of before. What they name must call itself a primary too (ROLE).
For all connections of a process, one task for each Sentinel hears `+switch-master` and, of the one
that leads a fail-over, `+promoted-slave` before it: a primary that still lives takes writes until
then that nobody will find again. It asks twice a second besides, since a message that comes while a
link is made again is lost. Source: Redis, "Guidelines for Sentinel clients".
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address, Place
from tidegate.store.errors import CommandFailed, StoreRefused, unavailable
from tidegate.store.link import open_link
from tidegate.store.pipeline import Pipeline
from tidegate.store.scripts import pack

ASK_TIMEOUT_S: Final = 0.5
POLL_S: Final = 0.5
"""Also what keeps the link proven: one that does not answer is left for the next Sentinel."""
SUBSCRIBE: Final = pack((b"SUBSCRIBE", b"+switch-master", b"+promoted-slave"))

logger: Final = logging.getLogger("tidegate.store")

_CANNOT_ASK: Final = (OSError, UnicodeError, StoreUnavailable)


class Sentinels:
    """`join` starts following, for the first; `leave` ends it, with the last."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._watchers: list[Callable[[], None]] = []
        self._followers: list[asyncio.Task[None]] = []
        self._known: Place | None = None
        """The primary that connections were given last."""

    def join(self, on_switch: Callable[[], None]) -> None:
        """Have `on_switch` called when the primary has become another server."""
        self._watchers.append(on_switch)
        if not self._followers:
            self._followers = [
                asyncio.create_task(self._follow(place), name=f"sentinel {place}")
                for place in self._address.asked
            ]

    async def leave(self, on_switch: Callable[[], None]) -> None:
        self._watchers.remove(on_switch)
        if not self._watchers and self._followers:
            followers, self._followers = self._followers, []
            for follower in followers:
                follower.cancel()
            await asyncio.wait(followers)

    async def primary(self) -> Address:
        """Return the primary's address. Raises StoreUnavailable, StoreRefused."""
        answers = await asyncio.gather(*map(self._ask_once, self._address.asked))
        told = [answer for answer in answers if isinstance(answer, tuple)]
        if told:
            place = max(told)[1]
            self._learned(place)
            return self._address.at(place)
        for failure in answers:
            if isinstance(failure, StoreRefused):
                raise failure
        why = "; ".join(
            f"{place}: {str(failure) or type(failure).__name__}"
            for place, failure in zip(self._address.asked, answers, strict=True)
        )
        raise unavailable(f"None of the Sentinels answers ({why})")

    def still_name(self, primary: Address) -> bool:
        """Whether they have named no other since: who was being connected to was not told."""
        return (primary.host, primary.port) == self._known

    async def described(self) -> str:
        """Return in words who is who. Raises StoreUnavailable, StoreRefused."""
        primary = await self.primary()
        for place in self._address.asked:
            with suppress(*_CANNOT_ASK, CommandFailed):
                link = await _open(self._address, place)
                try:
                    fields = await _fields(link, self._address.service)
                finally:
                    link.abort("Asked")
                return (
                    f"Sentinel {self._address.service}: primary {primary.host}:{primary.port}, "
                    f"{fields['num-slaves']} replicas, {int(fields['num-other-sentinels']) + 1} "
                    f"Sentinels, quorum {fields['quorum']}, down after "
                    f"{fields['down-after-milliseconds']} ms"
                )
        return f"Sentinel {self._address.service}: primary {primary.host}:{primary.port}"

    async def _ask_once(self, place: Place) -> tuple[int, Place] | Exception:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                link = await _open(self._address, place)
                try:
                    return await self._ask(link)
                finally:
                    link.abort("Asked")
        except CommandFailed as error:
            return StoreRefused(f"redis.url: {place} is no Sentinel ({error})")
        except (*_CANNOT_ASK, StoreRefused) as error:
            return error
        except Exception as error:  # of one that answers nonsense, beside others that may not
            return unavailable(f"what no Sentinel says ({error!r})")

    async def _ask(self, link: Pipeline) -> tuple[int, Place]:
        """Return epoch and place of the primary as one Sentinel knows them.

        The place is asked for apart: whoever leads a fail-over gives that of the promoted replica
        there, and gives the one of before among the fields until all replicas follow.
        """
        service = self._address.service
        where = link.execute(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
        try:
            fields = await _fields(link, service)
        except CommandFailed as error:
            if "No such master" not in error.message:
                raise
            known = ", ".join(await _services(link)) or "none"
            raise StoreRefused(
                f"redis.url: the Sentinel at {link.server} monitors no primary named {service!r}: "
                f"it knows {known}"
            ) from None
        host, port = await where
        return int(fields["config-epoch"]), Place(host.decode(), int(port))

    async def _follow(self, place: Place) -> None:
        told = ""
        while True:
            try:
                with suppress(*_CANNOT_ASK, CommandFailed, StoreRefused):
                    await self._follow_one(place)
            except Exception as error:  # whatever it says, it is no reason not to ask again
                if repr(error) != told:
                    told = repr(error)
                    logger.exception("what the Sentinel at %s says is not understood", place)
            await asyncio.sleep(POLL_S)

    async def _follow_one(self, place: Place) -> None:
        """Hear and ask one Sentinel until it no longer answers."""
        heard = asyncio.Event()

        def on_push(push: Sequence[Any]) -> None:
            if push[0] == b"message":
                heard.set()

        async with asyncio.timeout(ASK_TIMEOUT_S):
            link = await _open(self._address, place, on_push)
        link.post(SUBSCRIBE)
        try:
            while True:
                if (await self._ask(link))[1] != self._known:
                    await self.primary()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await heard.wait()
                heard.clear()
        finally:
            link.abort("No longer followed")

    def _learned(self, primary: Place) -> None:
        """Tell the watchers if the primary is another one than they were given."""
        has_switched = self._known not in (None, primary)
        self._known = primary
        if has_switched:
            for on_switch in tuple(self._watchers):
                on_switch()


async def verify_primary(link: Pipeline) -> None:
    """Raise StoreUnavailable unless the server calls itself a primary."""
    role = await link.execute(b"ROLE")
    if role[0] != b"master":
        raise unavailable(f"{link.server} is named as the primary, but is none yet")


async def _open(
    address: Address, place: Place, on_push: Callable[[Sequence[Any]], None] | None = None
) -> Pipeline:
    """Return a link to a Sentinel, which has no databases, and is given a password only if it
    asks for one: it has one of its own, if any, and most have none."""
    where = replace(address.at(place), database=0)
    open_ = replace(where, username="", password="")
    try:
        return await _open_at(open_, on_push)
    except StoreUnavailable:
        if not where.password:
            raise
        return await _open_at(where, on_push)


async def _open_at(where: Address, on_push: Callable[[Sequence[Any]], None] | None) -> Pipeline:
    return await open_link(
        where,
        timeout_s=ASK_TIMEOUT_S,
        name="tidegate-sentinel",
        resp3=on_push is not None,
        on_push=on_push,
    )


async def _fields(link: Pipeline, service: str) -> dict[str, str]:
    return _mapping(await link.execute(b"SENTINEL", b"MASTER", service))


async def _services(link: Pipeline) -> list[str]:
    return [_mapping(fields)["name"] for fields in await link.execute(b"SENTINEL", b"MASTERS")]


def _mapping(reply: Any) -> dict[str, str]:
    """Return the fields of a reply: a map in RESP3, names and values in turn in RESP2."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}
