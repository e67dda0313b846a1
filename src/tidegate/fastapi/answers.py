"""Around the app: the limits' fields and the request's id on each answer of a request that asked,
and its record when it has ended, which is before the tasks that the app left for afterwards. What
asked for nothing passes as it is."""

from typing import Any

from tidegate.edge.asgi import Receive, Scope, Send
from tidegate.fastapi.visit import Home, Visits


class Answers:
    def __init__(self, app: Any, home: Home) -> None:
        self._app = app
        self._home = home

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visits = Visits.begun(self._home, scope)

        async def send_on(message: Any) -> None:
            visit = visits.visit
            if visit is None:
                await send(message)
                return
            await send(visit.passed(message))
            if visit.is_whole:
                await visit.end()

        try:
            await self._app(scope, receive, send_on)
        finally:
            if visits.visit is not None:
                await visits.visit.end()
