"""Forgets kept answers that a request has changed (RFC 9111, section 4.4).

What is changed through one route of a service may be kept by any other: reads and writes often
have routes of their own. So this stands on every route of a service that caches somewhere; on the
routes that cache themselves, the cache policy does the same. Costs a safe request one comparison.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any

from tidegate.cache import Cache
from tidegate.cache.invalidation import SAFE_METHODS, invalidated_targets
from tidegate.cache.places import url_digest
from tidegate.config import Route, Service
from tidegate.http import GatewayError, Outcome, Response
from tidegate.policies.policy import Next, Policy, Request

logger = logging.getLogger("tidegate.policies")


class Forget:
    """Makes entries invalid before the client hears that its change was made."""

    def __init__(self, cache: Cache, service: Service) -> None:
        self._cache = cache
        self._routes = [route_name(service, route) for route in service.routes if is_cached(route)]

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        if request.method in SAFE_METHODS:
            return call_next(request)
        return self._passed_on(request, call_next)

    async def _passed_on(self, request: Request, call_next: Next) -> Response:
        target, host = request.target, request.host
        try:
            response = await call_next(request)
        except BaseException:
            # The service may have made the change, be it that its answer never came.
            self._forget([target], host)
            raise
        targets = invalidated_targets(
            request.method, request.scheme, host, target, response.status, response.headers
        )
        try:
            for reply in self._forget(targets, host):
                await reply
        except GatewayError as error:
            logger.warning("entries of the cache could not be made invalid: %s", error)
        except BaseException:
            await response.aclose(Outcome.ABORTED)
            raise
        return response

    def _forget(self, targets: Iterable[bytes], host: bytes) -> list[asyncio.Future[Any]]:
        urls = [url_digest(route, host, target) for target in targets for route in self._routes]
        return self._cache.forget(urls)


def is_cached(route: Route) -> bool:
    return route.cache is not None and route.cache.enabled


def route_name(service: Service, route: Route) -> bytes:
    """Return the name under which entries of a route lie."""
    return f"{service.name}/{route.name}".encode()


def build(cache: Cache, service: Service) -> Policy | None:
    """Return the policy, or None for a service that caches nothing."""
    return Forget(cache, service) if any(map(is_cached, service.routes)) else None
