"""The FastAPI application of the control plane, from what it is given; nothing is global."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from pydantic import SecretStr

from tidegate.config import Config
from tidegate.control import docs_page, problems
from tidegate.control.guard import Guard
from tidegate.control.openapi import document
from tidegate.control.parts import Parts
from tidegate.control.routers import (
    cache,
    decisions,
    explain,
    keys,
    limit_resets,
    limits,
    nodes,
    plans,
    routes,
    system,
    tenants,
    usage,
)
from tidegate.gateway import Gateway
from tidegate.identity import Repository
from tidegate.store import Store

ROUTERS: Final = (
    tenants.router,
    plans.router,
    keys.router,
    limits.router,
    limit_resets.router,
    cache.router,
    routes.router,
    explain.router,
    usage.router,
    decisions.router,
    nodes.router,
    system.router,
    docs_page.router,
)
API_VERSION: Final = "1"
OPEN_PATHS: Final = frozenset(("/", "/health", "/docs", "/openapi.json"))
"""Nothing in them is secret: the document is the same for everybody."""


class ControlPlane(FastAPI):
    """Documents itself as it is behind its guard."""

    open_paths: frozenset[str]

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(self, self.open_paths)
        return self.openapi_schema


def application(
    config: Config,
    store: Store,
    *,
    admin_token: SecretStr,
    data_dir: Path,
    app_name: str,
) -> FastAPI:
    """Return the application. `store` stays open for as long as it runs."""
    gateway = Gateway(config, data_dir=data_dir, store=store, starts_apps=False)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with gateway:
            yield

    app = ControlPlane(
        title=f"{app_name} admin API",
        version=API_VERSION,
        description="Tenants, plans, keys and limits of a Tidegate gateway. Errors are problems "
        "(RFC 9457); times are seconds since 1970.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.open_paths = OPEN_PATHS | (
        frozenset(("/metrics",)) if _is_loopback(config.admin.host) else frozenset()
    )
    app.state.parts = Parts(gateway, Repository(config, store), data_dir)
    problems.install(app, [route for router in ROUTERS for route in router.routes])
    app.add_middleware(
        Guard,
        token=admin_token,
        open_paths=app.open_paths,
        hosts=(config.admin.host, *config.admin.hosts),
    )
    for router in ROUTERS:
        app.include_router(router)
    return app


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
