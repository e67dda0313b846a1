"""How a link to the store begins: transport, authentication, database, name.

One write carries the whole greeting. It ends with a PING, which tells a server that is still
loading its data (LOADING) from one that can serve.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from tidegate.store.address import Address
from tidegate.store.errors import CommandFailed
from tidegate.store.pipeline import Pipeline
from tidegate.store.redirects import Redirect

CONNECT_TIMEOUT_S: Final = 2.0
"""For transport (TLS included) and greeting together; the caller bounds the whole."""


async def open_link(
    address: Address,
    *,
    timeout_s: float,
    name: str,
    resp3: bool = False,
    on_push: Callable[[list[Any]], None] | None = None,
    on_end: Callable[[Pipeline], None] | None = None,
    on_redirect: Redirect | None = None,
) -> Pipeline:
    """Return a link ready for use; raise OSError, StoreUnavailable or CommandFailed."""
    pipeline = Pipeline(timeout_s, on_push, on_end, on_redirect)
    pipeline.server = address.redacted
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await address.connect(lambda: pipeline)
            await _greet(pipeline, address, name, resp3)
    except BaseException:
        pipeline.abort("The link could not be opened")
        raise
    return pipeline


async def _greet(pipeline: Pipeline, address: Address, name: str, resp3: bool) -> None:
    needed: list[tuple[str | int, ...]] = []
    login = (address.username or "default", address.password)
    if resp3:
        needed.append(("HELLO", 3, "AUTH", *login) if address.password else ("HELLO", 3))
    elif address.password:
        # Without a user name the old form, which servers before ACLs know too.
        needed.append(("AUTH", *login) if address.username else ("AUTH", address.password))
    if address.database:
        needed.append(("SELECT", address.database))
    needed.append(("PING",))
    replies = [pipeline.execute(*command, timeout_s=CONNECT_TIMEOUT_S) for command in needed]
    named = pipeline.execute("CLIENT", "SETNAME", name, timeout_s=CONNECT_TIMEOUT_S)
    for reply in replies:
        await reply
    with suppress(CommandFailed):
        # Managed stores may forbid it, and the name only helps who reads CLIENT LIST.
        await named
