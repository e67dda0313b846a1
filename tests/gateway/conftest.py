import pytest

from tests.gateway.usage_kit import config
from tidegate.testing import ScriptedUpstream


@pytest.fixture
async def kit_of(tidegate_kit):
    """`await kit_of(**sections)`: a kit with two tenants on one plan."""
    async with ScriptedUpstream() as upstream:

        async def opened(**sections):
            kit = await tidegate_kit(config=config(upstream, **sections))
            kit.upstream = upstream
            return kit

        yield opened
