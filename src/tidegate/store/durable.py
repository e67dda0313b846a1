"""Whether what was written outlives the server: on its disk, and on a replica where it has any.

WAITAOF and WAIT block their connection and speak of that connection's writes only, so a link of its
own writes a fence: what the server did before the fence is as safe as the fence. A replica counts
because a fail-over would else forget what the disk of the dead server remembers, a revocation among
it (DESIGN, decision 5).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address
from tidegate.store.errors import CommandFailed, StoreRefused
from tidegate.store.facts import StoreFacts
from tidegate.store.link import open_link
from tidegate.store.pipeline import Pipeline
from tidegate.store.slots import key_slot
from tidegate.store.topology import Ranges

FENCE_KEY: Final = b"tg:durable"
FENCE_TRIES: Final = 2**20
"""Names tried for a fence in the slots of one server: a hit in one of 16384, for the smallest."""


async def is_durable(
    address: Address, facts: StoreFacts, timeout_s: float, *, fence: bytes = FENCE_KEY
) -> bool:
    """Return whether all that this server answered before is safe by now.

    False: the server cannot tell (no WAITAOF, AOF off), or did not in time, or takes no writes.
    """
    try:
        async with asyncio.timeout(timeout_s):
            link = await open_link(address, timeout_s=timeout_s, name="tidegate-durable")
            try:
                written = link.execute(b"SET", fence, b"1")
                role = link.execute(b"ROLE")
                await written  # WAITAOF and WAIT speak of no write where this was refused
                is_on_disk = await _is_on_disk(link, facts, timeout_s)
                return await _is_copied(link, await role, timeout_s) and is_on_disk
            finally:
                link.abort("The fence is done")
    except (OSError, StoreUnavailable, CommandFailed, StoreRefused):
        return False


def fence_in(ranges: Ranges) -> bytes:
    """Return the name of a fence that lies in one of these slots."""
    for number in range(FENCE_TRIES):
        key = b"%b:%d" % (FENCE_KEY, number)
        slot = key_slot(key)
        if any(first <= slot <= last for first, last in ranges):
            return key
    return FENCE_KEY


async def _is_copied(link: Pipeline, role: Sequence[Any], timeout_s: float) -> bool:
    """Return whether a replica has it; nothing is wanted where there is none."""
    if role[0] == b"master" and not role[2]:
        return True
    return bool(await link.execute(b"WAIT", 1, _milliseconds(timeout_s)) >= 1)


async def _is_on_disk(link: Pipeline, facts: StoreFacts, timeout_s: float) -> bool:
    if not facts.is_aof_on:
        return False
    if facts.fsync == "always":
        return True
    if not facts.has_waitaof:
        return False
    local, _ = await link.execute(b"WAITAOF", 1, 0, _milliseconds(timeout_s))
    return bool(local >= 1)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
