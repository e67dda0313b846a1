"""No tenant ever sees another's bytes: any requests, at once, through two workers on one store.

The service writes into each answer for whom it made it. Few URLs are asked for at once, and each
by three examples in turn, so that shared flights, hits from memory and from the store all occur.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.config import Config
from tidegate.gateway import Gateway
from tidegate.store import Store
from tidegate.testing import Kit, ScriptedUpstream
from tidegate.testing.scripted_upstream import Canned, ReceivedRequest

TENANTS = ("acme", "demo", "shop")
SAID: dict[str, dict[str, str]] = {
    "silent": {},
    "fresh": {"Cache-Control": "max-age=60"},
    "stale": {"Cache-Control": "max-age=5", "Age": "9", "ETag": '"x"'},
    "varying": {"Cache-Control": "max-age=60", "Vary": "X"},
    "public": {"Cache-Control": "public, max-age=60"},
    "private": {"Cache-Control": "private, max-age=60"},
    "no-store": {"Cache-Control": "no-store"},
    "cookie": {"Cache-Control": "max-age=60", "Set-Cookie": "a=b"},
    "star": {"Cache-Control": "max-age=60", "Vary": "*"},
}
FOR_ONE = frozenset({"private", "no-store", "cookie", "star"})
"""Of these every request must get an answer of its own."""


class Asked(NamedTuple):
    worker: int
    tenant: str
    url: int
    x: str
    has_cookie: bool
    is_signed: bool


ASKED = st.builds(
    Asked,
    st.sampled_from([0, 1]),
    st.sampled_from(TENANTS),
    st.sampled_from([0, 1]),
    st.sampled_from(["1", "2"]),
    st.booleans(),
    st.booleans(),
)


EXAMPLES = itertools.count()


class Service:
    """Answers only when all who ask at once had their turn, so that they meet on the way."""

    def __init__(self) -> None:
        self.answers = 0

    async def __call__(self, request: ReceivedRequest) -> Canned:
        for _ in range(5):
            await asyncio.sleep(0)
        self.answers += 1
        kind = request.target.rpartition(b"/")[2].decode()

        def said(name: bytes) -> str | None:
            values = request.get_all(name)
            return values[0].decode() if values else None

        made_for = {
            "number": self.answers,
            "kind": kind,
            "tenant": said(b"x-tidegate-tenant"),
            "x": said(b"x"),
            "cookie": said(b"cookie"),
            "authorization": said(b"authorization"),
        }
        return 200, SAID[kind], json.dumps(made_for).encode()


@pytest.fixture
async def workers(tidegate_store: Store) -> AsyncIterator[list[Kit]]:
    """Two gateways on one store, in front of one service."""
    async with ScriptedUpstream([Service()]) as upstream:
        route = {"name": "all", "cache": {"default_ttl": 60.0}}
        config = Config.model_validate(
            {
                "version": 1,
                "plans": {"all": {}},
                "tenants": [
                    {"name": name, "plan": "all", "keys": [{"name": "key", "value": f"{name}_key"}]}
                    for name in TENANTS
                ],
                "services": [{"name": "one", "targets": [upstream.url], "routes": [route]}],
            }
        )
        one, two = (Gateway(config, data_dir=Path(), store=tidegate_store) for _ in range(2))
        async with one, two:
            yield [Kit(one, upstream), Kit(two, upstream)]


async def answer_to(kit: Kit, path: str, asked: Asked) -> dict[str, Any]:
    headers = {"X": asked.x}
    if asked.has_cookie:
        headers["Cookie"] = f"of={asked.tenant}"
    if asked.is_signed:
        headers["Authorization"] = f"Basic {asked.tenant}"
    answer = await kit.get(path, key=f"{asked.tenant}_key", headers=headers)
    assert answer.status == 200
    made_for: dict[str, Any] = json.loads(answer.body)
    return made_for


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kinds=st.tuples(st.sampled_from(sorted(SAID)), st.sampled_from(sorted(SAID))),
    requests=st.lists(ASKED, min_size=2, max_size=12),
)
async def test_no_tenant_sees_what_was_made_for_another(
    workers: list[Kit], kinds: tuple[str, str], requests: list[Asked]
) -> None:
    part = next(EXAMPLES) // 3
    answers = await asyncio.gather(
        *(
            answer_to(workers[asked.worker], f"/{part}/{kinds[asked.url]}", asked)
            for asked in requests
        )
    )
    numbers = [answer["number"] for answer in answers]
    for asked, answer in zip(requests, answers, strict=True):
        kind = kinds[asked.url]
        assert answer["kind"] == kind
        if kind == "public":
            continue
        assert answer["tenant"] == asked.tenant
        if kind == "varying":
            assert answer["x"] == asked.x
        has_credentials = asked.has_cookie or asked.is_signed
        if kind in FOR_ONE or (kind == "silent" and has_credentials):
            assert numbers.count(answer["number"]) == 1
        if kind == "silent":
            # Made for a request without credentials, or for this one alone.
            assert (answer["cookie"] is not None) is asked.has_cookie
            assert (answer["authorization"] is not None) is asked.is_signed
        if answer["authorization"] is not None:
            # Section 3.5: only what says that it may be is kept of a signed request.
            assert asked.is_signed
