"""The pipelined connection that requests use: always there to be asked, whatever the link does.

`execute` and `run` are synchronous: they queue, and the future they return gives the reply or fails
with StoreUnavailable or CommandFailed. While there is no link they fail at once. One task keeps the
link: it connects, introduces itself, lets its owner `prepare` the link before anyone may use it,
waits for its end, and tries again with jittered, bounded backoff. Replies are RESP2 unless `resp3`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from tidegate.http.errors import StoreUnavailable
from tidegate.store.address import Address
from tidegate.store.breaker import Proof
from tidegate.store.errors import CommandFailed, StoreRefused, unavailable
from tidegate.store.link import CONNECT_TIMEOUT_S, open_link
from tidegate.store.pipeline import Pipeline
from tidegate.store.redirects import Redirect, Repeatable
from tidegate.store.scripts import Script, ScriptCall, pack
from tidegate.store.sentinel import Sentinels, verify_primary
from tidegate.store.trips import Trips

BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
"""Short enough that a store that is back is used within about two seconds."""

logger: Final = logging.getLogger("tidegate.store")

FAILURES: Final = (OSError, UnicodeError, StoreUnavailable, CommandFailed, StoreRefused)
"""What an attempt to connect is expected to end in; UnicodeError is a host name that is none."""

Prepare = Callable[[Pipeline], Awaitable[None]]


class Connection:
    """Construct inside a running loop, `start`, and in the end `aclose`."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float = 0.05,
        name: str = "tidegate",
        resp3: bool = False,
        before_connect: Callable[[], None] | None = None,
        prepare: Prepare | None = None,
        on_push: Callable[[list[Any]], None] | None = None,
        on_up: Callable[[], None] | None = None,
        on_end: Callable[[], None] | None = None,
        on_redirect: Redirect | None = None,
        sentinels: Sentinels | None = None,
    ) -> None:
        """`sentinels`: who says, at each attempt, which server `address` means."""
        self.address = address
        self.timeout_s = timeout_s
        self._name = name
        self._resp3 = resp3
        self._before_connect = before_connect
        self._prepare = prepare
        self._on_push = on_push
        self._on_up = on_up
        self._on_end = on_end
        self._on_redirect = on_redirect
        self._sentinels = sentinels
        self._hurry = asyncio.Event()
        """Set when there is reason to try again at once."""
        self._pipeline = Pipeline(timeout_s)
        self._keeper: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        """Set while there is a link, and when the store was refused."""
        self._proof = Proof(timeout_s)
        self._failure: Exception | None = None
        """Why the last attempt to connect failed."""
        self._on_trip: Callable[[float], None] | None = None

    def execute(
        self, *parts: bytes | str | int | float, timeout_s: float | None = None
    ) -> asyncio.Future[Any]:
        """Queue one command. Its place in the order of commands is the place of this call."""
        return self._pipeline.send(pack(parts), timeout_s)

    def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes | int],
        timeout_s: float | None = None,
    ) -> asyncio.Future[Any]:
        """Queue a script by its hash.

        A server that does not know it is sent the source for the same waiter; the script then runs
        after the commands that were queued meanwhile, and never twice.
        """
        return self.call(ScriptCall(script, keys, arguments), timeout_s)

    def call(self, call: ScriptCall, timeout_s: float | None = None) -> asyncio.Future[Any]:
        """Queue a script call that was packed before: `run` without the packing."""
        return self._pipeline.send(call.command, timeout_s, call)

    def send(
        self, command: bytes, timeout_s: float | None, call: Repeatable
    ) -> asyncio.Future[Any]:
        """Queue a packed command that may be sent on to another server."""
        return self._pipeline.send(command, timeout_s, call)

    def forward(
        self, waiter: asyncio.Future[Any], deadline: float, call: Repeatable, *, is_asking: bool
    ) -> None:
        """Queue what another server has sent on to this one."""
        self._pipeline.forward(waiter, deadline, call, is_asking=is_asking)

    @property
    def is_up(self) -> bool:
        return self._pipeline.is_open

    @property
    def failure(self) -> Exception | None:
        """Why the last attempt to connect failed; None while all is well."""
        return self._failure

    def watch_trips(self, on_trip: Callable[[float], None]) -> None:
        """Have `on_trip` told how long trips to the store take, in seconds."""
        self._on_trip = on_trip
        self._pipeline.trips = Trips(on_trip)

    def start(self) -> None:
        if self._keeper is None:
            if self._sentinels is not None:
                self._sentinels.join(self._switched)
            self._keeper = asyncio.create_task(self._keep_connected(), name=f"store {self._name}")

    async def wait_up(self, timeout_s: float) -> None:
        """Wait for a link; raise StoreUnavailable, with the last failure, or StoreRefused."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        if isinstance(self._failure, StoreRefused):
            raise self._failure
        if not self._settled.is_set():
            why = str(self._failure or "") or type(self._failure).__name__
            raise unavailable(f"The store at {self.address.redacted} cannot be reached: {why}")

    def reconnect(self, why: str) -> None:
        """Drop the link, failing who waits on it, and make a new one at once."""
        self._pipeline.abort(why)
        self._hurry.set()

    async def aclose(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
            if self._sentinels is not None:
                await self._sentinels.leave(self._switched)
        await self._pipeline.aclose("The store's connection was closed")

    def _switched(self) -> None:
        self.reconnect("The Sentinels name another primary")

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        delay_s = BACKOFF_MIN_S
        while True:
            self._hurry.clear()
            self._failure = await self._attempt()
            if self._failure is None:
                connected_at = loop.time()
                await asyncio.shield(self._pipeline.ended)
                self._proof.link_ended(is_condemned=self._pipeline.is_condemned)
                if loop.time() - connected_at > BACKOFF_MAX_S:
                    delay_s = BACKOFF_MIN_S
            elif isinstance(self._failure, StoreRefused):
                self._settled.set()
            # Jitter spreads a fleet that lost the store at one moment; it guards no secret.
            try:
                async with asyncio.timeout(delay_s * random.uniform(0.5, 1.0)):  # noqa: S311
                    await self._hurry.wait()
            except TimeoutError:
                delay_s = min(delay_s * 2, BACKOFF_MAX_S)
            else:
                delay_s = BACKOFF_MIN_S

    async def _attempt(self) -> Exception | None:
        """Make a link and let it be used; return why that failed."""
        pipeline: Pipeline | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if self._before_connect is not None:
                    self._before_connect()
                address = self.address
                if self._sentinels is not None:
                    address = await self._sentinels.primary()
                pipeline = await open_link(
                    address,
                    timeout_s=self.timeout_s,
                    name=self._name,
                    resp3=self._resp3,
                    on_push=self._on_push,
                    on_end=self._link_ended,
                    on_redirect=self._on_redirect,
                )
                if self._sentinels is not None:
                    await verify_primary(pipeline)
                if self._prepare is not None:
                    await self._prepare(pipeline)
                await self._proof.give(pipeline.send)
                if self._sentinels is not None and not self._sentinels.still_name(address):
                    raise unavailable("The Sentinels name another primary by now")
        except BaseException as error:
            if pipeline is not None:
                pipeline.abort("The store could not be prepared for use")
            if not isinstance(error, Exception):
                raise
            if not isinstance(error, FAILURES) and repr(error) != repr(self._failure):
                logger.exception("a link to %s was not usable", self.address.redacted)
            return error
        if self._on_trip is not None:
            pipeline.trips = Trips(self._on_trip)
        self._pipeline = pipeline
        if pipeline.is_connected:
            self._settled.set()
            if self._on_up is not None:
                self._on_up()
        return None

    def _link_ended(self, pipeline: Pipeline) -> None:
        if pipeline is not self._pipeline:
            return
        self._settled.clear()
        if self._on_end is not None:
            self._on_end()
