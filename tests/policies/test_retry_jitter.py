"""Retry-After may be longer by chance, so that clients come back one by one; never shorter."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.config import Config
from tidegate.testing import Kit, ScriptedUpstream

Opened = Callable[..., Awaitable[Kit]]


@pytest.fixture
async def kit_of(tidegate_kit: Any) -> Any:
    """`kit_of(limit, **sections)`: a kit whose one limit is this, with these sections."""
    async with ScriptedUpstream() as upstream:

        async def opened(limit: dict[str, Any], **sections: Any) -> Kit:
            route = {"name": "test", "paths": ["/api"]}
            keys = [{"name": "key", "value": "premium_user"}]
            said = {
                "version": 1,
                "plans": {"all": {"limits": [{"name": "steady", **limit}]}},
                "tenants": [{"name": "acme", "plan": "all", "keys": keys}],
                "services": [{"name": "test", "targets": [upstream.url], "routes": [route]}],
            }
            kit: Kit = await tidegate_kit(config=Config.model_validate({**said, **sections}))
            kit.upstream = upstream
            return kit

        yield opened


@pytest.mark.parametrize(
    ("rate", "jitter", "most"),
    [("3/h", 0.5, 60), ("1/m", 0.2, 12), ("1/s", 1.0, 1), ("3/h", 0.0, 0), ("1/month", 1.0, 60)],
)
async def test_the_wait_that_is_told_is_longer_by_that_share_at_most(kit_of, rate, jitter, most):
    kit = await kit_of({"rate": rate, "burst": 1}, retry_jitter=jitter)
    longer = []
    for _ in range(400):
        answer = await kit.get("/api/x")
        if answer.status == 429:
            told = int(answer.header("retry-after"))
            longer.append(told - int(answer.header("x-ratelimit-reset")))
            assert f"Try again in {told} s" in json.loads(answer.body)["detail"]
            assert answer.header("ratelimit").endswith(f"t={answer.header('x-ratelimit-reset')}")
    assert min(longer) >= 0
    assert max(longer) <= most
    assert len(set(longer)) > most / 2


@pytest.mark.parametrize("jitter", [-0.1, 1.5])
def test_a_share_of_more_than_all_is_no_jitter(jitter):
    with pytest.raises(ValueError, match="retry_jitter"):
        Config.model_validate({"version": 1, "retry_jitter": jitter})
