"""Any requests of any tenants at once, some of which go away: nobody gets another's bytes."""

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.policies.cached_kit import TENANTS
from tidegate.store import Store

KINDS = {
    "own": {},
    "fresh": {"cache-control": "max-age=60"},
    "private": {"cache-control": "private, max-age=60"},
    "no-store": {"cache-control": "no-store"},
    "cookie": {"set-cookie": "id=1", "cache-control": "max-age=60"},
    "validated": {"cache-control": "no-cache", "etag": '"1"'},
    "varies": {"vary": "accept-language", "cache-control": "max-age=60"},
    "public": {"cache-control": "public, max-age=60"},
}
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(TENANTS),
        st.sampled_from(sorted(KINDS)),
        st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"]),
        st.sampled_from(
            [{}, {"accept-language": "de"}, {"cookie": "a=1"}, {"cache-control": "no-cache"}]
        ),
        st.booleans(),
    ),
    min_size=10,
    max_size=40,
)


@given(batches=st.lists(REQUESTS, min_size=1, max_size=4), seed=st.integers(0, 2**16))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_no_tenant_ever_sees_anothers_bytes(
    tenants_kit, tidegate_store: Store, batches: Any, seed: int
):
    await tidegate_store.execute("FLUSHALL")
    kit = await tenants_kit()
    chance = random.Random(seed)

    async def service(request: Any) -> Any:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        kind = request.target.rpartition(b"/")[2].decode()
        tenant = request.get_all(b"x-tidegate-tenant")[0]
        if request.get_all(b"if-none-match"):
            return 304, KINDS[kind], b""
        body = b"everyone" if kind == "public" else b"for " + tenant
        if chance.random() < 0.2:
            body += b" " * 70_000
        if kind == "cookie":
            return 200, KINDS[kind] | {"set-cookie": f"of={tenant.decode()}"}, body
        return 200, KINDS[kind], body

    kit.upstream.script = [service]

    async def one(
        tenant: str, kind: str, method: str, headers: dict[str, str], leaves: bool
    ) -> None:
        asking = asyncio.ensure_future(
            kit.request(method, f"/api/{kind}", key=f"{tenant}_key", headers=headers)
        )
        if leaves:
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
            asking.cancel()
        try:
            answer = await asking
        except asyncio.CancelledError:
            return
        allowed = b"everyone" if kind == "public" else b"for " + tenant.encode()
        assert answer.status == 200
        assert answer.body.strip() in ((b"",) if method == "HEAD" else (allowed,))
        if kind == "cookie":
            assert answer.header("set-cookie") == f"of={tenant}"

    for batch in batches:
        await asyncio.gather(*(one(*request) for request in batch))
    assert len(kit.gateway.parts.cache.flights) == 0
    assert kit.gateway.parts.cache.unfinished.bytes == 0
