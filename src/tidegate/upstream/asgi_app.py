"""An ASGI application of this process: `asgi:package.module:app`, imported once, started once.

Importing and the lifespan's startup happen before the first request, so that a mistake is told at
the start, in words. An application without a lifespan is served without one (ASGI, lifespan spec).
What startup leaves in `state` is what each request begins with. Factories are written with
parentheses: `asgi:package.module:create_app()`.
"""

import asyncio
import importlib
import inspect
import logging
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from tidegate.config.raised import in_words

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

STARTUP_S_MAX: Final = 120.0
"""Some applications load a model; one that takes longer most likely waits for what never comes."""
SHUTDOWN_S_MAX: Final = 10.0
ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
"""Of 2.3, frameworks listen for the client's leaving, rather than find out when they next send."""

logger: Final = logging.getLogger("tidegate.upstream")


class TargetNotLoaded(Exception):
    """An asgi: target cannot be imported or started; the message names it and the reason."""


class AsgiApps:
    """The applications of one snapshot: one object, and one lifespan, for each target."""

    def __init__(self, directory: Path) -> None:
        """Modules are looked for in the working directory, as ASGI servers do, then in this one."""
        self._places = tuple(dict.fromkeys((os.getcwd(), str(directory.absolute()))))
        self._by_target: dict[str, AsgiApp] = {}

    def app(self, target: str) -> "AsgiApp":
        """Return the application of `target`, imported at the first call. Raises TargetNotLoaded.

        All places are put on the path together, since an application may import what lies there.
        """
        if target not in self._by_target:
            sys.path[:0] = [place for place in self._places if place not in sys.path]
            self._by_target[target] = AsgiApp(target, _loaded(target, self._places))
        return self._by_target[target]


class AsgiApp:
    """One application and its lifespan. `start` and `aclose` may be called once for each user."""

    def __init__(self, target: str, app: App) -> None:
        self.target = target
        self.call = app
        self.state: dict[str, Any] = {}
        self._run: asyncio.Task[None] | None = None
        self._started: asyncio.Future[str | None] | None = None
        """What startup said: None, or why it failed."""
        self._ends = asyncio.Event()

    async def start(self) -> None:
        """Run the lifespan's startup. Raises TargetNotLoaded if it fails or never ends."""
        if self._run is not None:
            return
        loop = asyncio.get_running_loop()
        self._started = started = loop.create_future()
        self._run = loop.create_task(self._lifespan(), name=f"lifespan of {self.target}")
        try:
            async with asyncio.timeout(STARTUP_S_MAX):
                failure = await asyncio.shield(started)
        except TimeoutError:
            failure = f"it takes longer than {STARTUP_S_MAX:.0f} s"
        if failure is not None:
            await self.aclose()
            raise TargetNotLoaded(f"target {self.target}: its startup failed: {failure}")

    async def aclose(self) -> None:
        """Run the lifespan's shutdown, and end it where it does not."""
        run, self._run = self._run, None
        if run is None:
            return
        self._ends.set()
        _, pending = await asyncio.wait([run], timeout=SHUTDOWN_S_MAX)
        for task in pending:
            logger.error("%s did not shut down in time", self.target)
            task.cancel()
            await asyncio.wait([task])

    async def _lifespan(self) -> None:
        assert self._started is not None  # noqa: S101 - made before this task
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            await self.call(scope, self._receive, self._send)
        except Exception as error:
            if self._started.done():
                if self._started.result() is None:
                    logger.error("the lifespan of %s failed", self.target, exc_info=error)
            else:
                logger.debug("%s has no lifespan", self.target, exc_info=error)
        finally:
            self._say(None)

    async def _receive(self) -> Message:
        if self._started is not None and not self._started.done():
            return {"type": "lifespan.startup"}
        await self._ends.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._say(None)
        elif message["type"] == "lifespan.startup.failed":
            self._say(str(message.get("message") or "it gave no reason").strip())
        elif message["type"] == "lifespan.shutdown.failed":
            logger.error("%s failed to shut down: %s", self.target, message.get("message"))

    def _say(self, failure: str | None) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_result(failure)


def _loaded(target: str, places: tuple[str, ...]) -> App:
    module_name, _, attribute = target.removeprefix("asgi:").partition(":")
    name = attribute.removesuffix("()")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise TargetNotLoaded(f"target {target}: {in_words(error)}") from error
        where = " or ".join(places)
        message = f"target {target}: there is no module {error.name} in {where}"
        raise TargetNotLoaded(message) from error
    except Exception as error:
        raise TargetNotLoaded(f"target {target}: {in_words(error)}") from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise TargetNotLoaded(f"target {target}: module {module_name} has no {name}")
    if name != attribute:
        try:
            found = found()
        except Exception as error:
            raise TargetNotLoaded(f"target {target}: calling it raised {error!r}") from error
    return _checked(found, target)


def _checked(found: Any, target: str) -> App:
    if not callable(found):
        kind = type(found).__name__
        raise TargetNotLoaded(f"target {target}: this is no ASGI application but a {kind}")
    try:
        inspect.signature(found).bind({}, None, None)
    except TypeError:
        raise TargetNotLoaded(
            f"target {target}: an ASGI application takes scope, receive and send, this one does "
            "not; a factory is written with (), a WSGI application needs a2wsgi around it"
        ) from None
    except ValueError:
        pass  # written in C: it will show
    app: App = found
    return app
