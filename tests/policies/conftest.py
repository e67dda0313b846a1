"""Kits of which more than one file of policies' tests has use."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.policies.cached_kit import CACHED, TENANTS, OpenTenants
from tests.policies.throttled_kit import config
from tidegate.config import Config
from tidegate.testing import Kit, ScriptedUpstream, open_kit


@pytest.fixture
async def kit_listening(tidegate_store):
    """`await kit_listening(**listen)`: a kit whose configuration has these fields of `listen`."""
    async with ScriptedUpstream() as upstream:
        kits = []

        async def opened_kit(**listen) -> Kit:
            context = open_kit(tidegate_store, config=config(upstream.url, **listen))
            kits.append(context)
            return await context.__aenter__()

        yield opened_kit
        for context in kits:
            await context.__aexit__(None, None, None)


@pytest.fixture
async def kit_with(tidegate_kit: Any) -> AsyncIterator[Callable[..., Awaitable[Kit]]]:
    """`kit_with(**sections)`: a kit whose configuration has these sections besides the usual."""
    async with ScriptedUpstream() as upstream:

        async def opened(**sections: Any) -> Kit:
            route = {"name": "test", "paths": ["/api"], **CACHED}
            service = {"name": "test", "targets": [upstream.url], "routes": [route]}
            tenants = [
                {"name": name, "plan": "all", "keys": [{"name": "key", "value": key}]}
                for name, key in (("acme", "premium_user"), ("other", "other_user"))
            ]
            usual = {"version": 1, "plans": {"all": {}}, "tenants": tenants, "services": [service]}
            kit: Kit = await tidegate_kit(config=Config.model_validate({**usual, **sections}))
            kit.upstream = upstream
            return kit

        yield opened


@pytest.fixture
async def tenants_kit(tidegate_kit: Any) -> AsyncIterator[OpenTenants]:
    """`tenants_kit()`: a cached route for three tenants, whose keys are their names with `_key`."""
    async with ScriptedUpstream() as upstream:

        async def opened() -> Kit:
            route = {"name": "test", "paths": ["/api"], "cache": {"default_ttl": 60}}
            tenants = [
                {"name": name, "plan": "all", "keys": [{"name": "key", "value": f"{name}_key"}]}
                for name in TENANTS
            ]
            config = {
                "version": 1,
                "plans": {"all": {}},
                "tenants": tenants,
                "services": [{"name": "test", "targets": [upstream.url], "routes": [route]}],
            }
            kit: Kit = await tidegate_kit(config=Config.model_validate(config))
            kit.upstream = upstream
            return kit

        yield opened
