"""A real gateway for tests, without a port: the whole chain, a real store, a scripted upstream.

Requests go straight into `Gateway.handle`, through every policy in its order, to an upstream on a
loopback socket that answers what the test says and records what it received. The store is the
embedded Valkey, one for the test session, emptied before each test.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tidegate.config import Config
from tidegate.gateway import Gateway
from tidegate.http import GatewayError, Headers, Outcome, Request, Response, problem_response
from tidegate.store import Store
from tidegate.testing.scripted_upstream import ScriptedUpstream

API_KEY = "premium_user"
"""The key that `Kit.request` presents unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its body read to the end, as a client would see it."""

    status: int
    headers: Headers
    body: bytes

    @classmethod
    async def of(cls, response: Response) -> Self:
        """Read a response to its end and release it, as a door does."""
        outcome = Outcome.ABORTED
        try:
            body = response.body
            if not isinstance(body, bytes):
                body = b"".join([piece async for piece in body])
            outcome = Outcome.COMPLETE
        finally:
            await response.aclose(outcome)
        own = () if response.own is None else response.own.own_fields()
        return cls(response.status, Headers([*response.headers, *own]), body)

    def header(self, name: str) -> str | None:
        """Return the first value of a field, by its name in any case."""
        value = self.headers.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")


class Kit:
    """One opened gateway and its upstream."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.upstream = upstream

    async def request(
        self,
        method: str,
        target: str,
        *,
        key: str | None = API_KEY,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        host: str = "gateway.test",
        client: str = "127.0.0.1",
    ) -> Answer:
        """Send one request through the chain; errors come back as the problem a client gets."""
        path, separator, query = target.encode().partition(b"?")
        fields = Headers((n.lower().encode(), v.encode()) for n, v in (headers or {}).items())
        if key is not None:
            fields.append((b"x-api-key", key.encode()))
        request = Request(
            method,
            path,
            fields,
            query=query if separator else None,
            host=host.encode(),
            body=body,
            content_length=len(body),
            client=client,
        )
        try:
            response = await self.gateway.handle(request)
        except GatewayError as error:
            response = problem_response(error)
        return await Answer.of(response)

    async def get(self, target: str, **options: Any) -> Answer:
        return await self.request("GET", target, **options)

    async def post(self, target: str, **options: Any) -> Answer:
        return await self.request("POST", target, **options)


@asynccontextmanager
async def open_kit(
    store: Store,
    *,
    policies: Sequence[Mapping[str, Any]] = (),
    route: Mapping[str, Any] | None = None,
    plan: Sequence[Mapping[str, Any]] = (),
    directory: Path | None = None,
    config: Config | None = None,
) -> AsyncIterator[Kit]:
    """Open a gateway with one service and one route, `/api`, that runs `policies`.

    `route` adds to the route or replaces its fields, `plan` is the limits of the key's plan. A
    whole `config` may be given instead; its first service then should point at the upstream.
    """
    async with ScriptedUpstream() as upstream:
        if config is None:
            config = _config(upstream.url, policies, route or {}, plan)
        gateway = Gateway(config, data_dir=Path(), directory=directory, store=store)
        async with gateway:
            yield Kit(gateway, upstream)


def _config(
    target: str,
    policies: Sequence[Mapping[str, Any]],
    route: Mapping[str, Any],
    plan: Sequence[Mapping[str, Any]],
) -> Config:
    return Config.model_validate(
        {
            "version": 1,
            "plans": {"premium": {"limits": list(plan)}},
            "tenants": [
                {
                    "name": "acme",
                    "plan": "premium",
                    "keys": [{"name": API_KEY, "value": API_KEY}],
                }
            ],
            "services": [
                {
                    "name": "test",
                    "targets": [target],
                    "routes": [
                        {"name": "test", "paths": ["/api"], "policies": list(policies), **route}
                    ],
                }
            ],
        }
    )
