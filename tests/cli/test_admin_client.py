"""The commands beside a gateway of another version: its admin API may say more, or less."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import SecretStr

from tidegate.cli.admin_client import AdminClient
from tidegate.cli.explain import AskedRequest
from tidegate.gateway.explain import ExplainedCaller, ExplainedLimit, Explanation
from tidegate.testing import ScriptedUpstream

Answered = Callable[[Any], Awaitable[AdminClient]]
KEY = {"id": "key_1", "tenant": "acme", "name": "ci", "origin": "api", "created_at": 1}
LATER = {"rotated_at": 2, "older_secrets_end_at": 3, "in_force": False}


@pytest.fixture
async def answered() -> AsyncIterator[Answered]:
    """`await answered(told)`: a client of an admin API that answers with `told`."""
    async with ScriptedUpstream() as api, AdminClient(api.url, SecretStr("token")) as client:

        async def opened(told: Any) -> AdminClient:
            headers = {"content-type": "application/json"}
            api.script = [(200, headers, json.dumps(told).encode())]
            return client

        yield opened


async def test_what_a_key_does_not_tell_is_as_if_it_were_not_there(answered: Answered) -> None:
    for told in (KEY, KEY | LATER, KEY | LATER | {"new": 1}):
        client = await answered({"items": [told], "next_cursor": None})
        (key,) = await client.keys(None)
        assert (key.key_id, key.created_at) == ("key_1", 1)
        assert key.rotated_at == told.get("rotated_at")
        assert key.older_end_at == told.get("older_secrets_end_at")
        assert key.in_force is told.get("in_force", True)


async def test_of_an_explanation_what_is_known_is_taken(answered: Answered) -> None:
    explanation = Explanation("GET", "localhost", "/x", hosts=["a.test"])
    explanation.caller = ExplainedCaller("acme", "free", "key_1", "ci")
    explanation.limits = [ExplainedLimit("steady", 10, 9, 1, False)]
    told = json.loads(json.dumps(asdict(explanation)))
    for part in (told, told["caller"], *told["limits"]):
        part["new"] = 1
    read = await (await answered(told)).explain(AskedRequest("GET", "/x", "localhost"))
    assert asdict(read) == asdict(explanation) | {
        "chain": [],
        "targets": [],
        "rules": [],
        "recent": [],
    }
    for name in ("hosts", "limits", "caller", "new"):
        del told[name]
    read = await (await answered(told)).explain(AskedRequest("GET", "/x", "localhost"))
    assert (read.hosts, read.limits, read.caller) == ((), [], None)
