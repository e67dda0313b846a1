"""For tests of your own policies: put `pytest_plugins = ["tidegate.testing"]` in conftest.py.

It brings `tidegate_kit`, which opens a real gateway around a scripted upstream:

    async def test_my_policy(tidegate_kit):
        kit = await tidegate_kit(policies=[{"use": "policies/mine.py"}])
        assert (await kit.get("/api/things")).status == 200
        assert kit.upstream.requests[0].headers
"""

from tidegate.testing.fixtures import (
    OpenKit,
    tidegate_kit,
    tidegate_store,
    tidegate_store_directory,
)
from tidegate.testing.kit import API_KEY, Answer, Kit, open_kit
from tidegate.testing.scripted_upstream import ScriptedUpstream

__all__ = [
    "API_KEY",
    "Answer",
    "Kit",
    "OpenKit",
    "ScriptedUpstream",
    "open_kit",
    "tidegate_kit",
    "tidegate_store",
    "tidegate_store_directory",
]
