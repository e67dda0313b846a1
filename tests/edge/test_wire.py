"""The wire table against both doors, through the real gateway to an upstream that records.

Each case is sent whole, byte by byte, and with another request behind it, which is answered
exactly where the connection stays.
"""

from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.edge.conftest import Client, config_with, native_door, uvicorn_with
from tests.edge.wire_cases import (
    BODY_BYTES,
    CASES,
    HEADER_BYTES,
    HEADER_FIELDS,
    TARGET_BYTES,
    Case,
    Received,
)
from tidegate.config.schema import Redis
from tidegate.edge import AsgiDoor
from tidegate.gateway import Gateway
from tidegate.store import open_store
from tidegate.testing.scripted_upstream import ScriptedUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOORS = ("native", "httptools", "h11")
AFTER = b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
BOUNDS = {
    "header_bytes": HEADER_BYTES,
    "header_fields": HEADER_FIELDS,
    "target_bytes": TARGET_BYTES,
    "body_bytes": BODY_BYTES,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DOORS)
async def door(request, valkey_dir):
    """One gateway and its upstream behind the door that the test is run with."""
    async with AsyncExitStack() as opened:
        store = await open_store(Redis(), valkey_dir, wait_s=20)
        opened.push_async_callback(store.aclose)
        upstream = await opened.enter_async_context(ScriptedUpstream())
        config = config_with(BOUNDS, upstream.url)
        gateway = Gateway(config, data_dir=valkey_dir, store=store)
        await opened.enter_async_context(gateway)
        if request.param == "native":
            server = await opened.enter_async_context(native_door(gateway))
            port = server.port
        else:
            port = await opened.enter_async_context(
                uvicorn_with(AsgiDoor(gateway), request.param)
            )
        yield SimpleNamespace(name=request.param, port=port, upstream=upstream)


def _expect_exception(request, case: Case, door: SimpleNamespace) -> None:
    names = (door.name,) if door.name == "native" else (door.name, "asgi")
    for name in names:
        if reason := case.excepted_on.get(name):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=False))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_case_is_answered_and_forwarded_as_the_table_says(request, door, case):
    _expect_exception(request, case, door)
    large = len(case.sent) > 1024
    for piece_bytes in (0, 61 if large else 1):
        door.upstream.requests.clear()
        client = await Client.connect(door.port)
        try:
            await client.send(case.sent, piece_bytes)
            await _check_answers(client, case)
            if case.stays:
                await client.send(AFTER)
                assert (await client.answer()).status == 200
                _check_received(door, (*case.received, Received("GET", b"/after")))
            else:
                _check_received(door, case.received)
            assert await client.rest() == b""
        finally:
            client.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_what_follows_is_answered_only_where_the_connection_stays(request, door, case):
    _expect_exception(request, case, door)
    door.upstream.requests.clear()
    client = await Client.connect(door.port)
    try:
        await client.send(case.sent + AFTER)
        await _check_answers(client, case)
        if case.stays:
            assert (await client.answer()).status == 200
        assert await client.rest() == b""
        after = (Received("GET", b"/after"),) if case.stays else ()
        _check_received(door, case.received + after)
    finally:
        client.close()


async def _check_answers(client: Client, case: Case) -> None:
    for number, status in enumerate(case.statuses):
        answer = await client.answer(is_head=number in case.heads)
        assert answer.status == status, answer


def _check_received(door: SimpleNamespace, expected: tuple[Received, ...]) -> None:
    # A body found wrong midway has begun to be forwarded; what must not be is a whole request.
    requests = [request for request in door.upstream.requests if request.is_complete]
    assert [(r.method, r.target, r.body) for r in requests] == [
        (r.method, r.target, r.body) for r in expected
    ]
    for request, wanted in zip(requests, expected, strict=True):
        assert request.raw_head.startswith(b"%b %b HTTP/1.1\r\n" % (wanted.method.encode(), wanted.target))
        assert len(request.get_all(b"host")) == 1
        assert len(request.get_all(b"content-length") + request.get_all(b"transfer-encoding")) <= 1
        for name, values in wanted.fields.items():
            assert request.get_all(name) == values, name
