"""The wire table against both doors, through the real gateway to an upstream that records.

Each case is sent whole, byte by byte, and with another request behind it, which is answered
exactly where the connection stays.
"""

from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.edge.conftest import WAIT_S, Client, config_with, native_door, uvicorn_with
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
            port = await opened.enter_async_context(uvicorn_with(AsgiDoor(gateway), request.param))
        yield SimpleNamespace(name=request.param, port=port, upstream=upstream)


def _exception(case: Case, door: str) -> str | None:
    names = (door,) if door == "native" else (door, "asgi")
    return next((case.excepted_on[name] for name in names if name in case.excepted_on), None)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_case_is_answered_and_forwarded_as_the_table_says(request, door, case):
    if reason := _exception(case, door.name):
        # Strict: an exception that is none any more has to leave the table.
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    wait_s = 0.5 if reason else WAIT_S
    for piece_bytes, has_follower in ((0, False), (_piece_bytes(case), False), (0, True)):
        door.upstream.requests.clear()
        client = await Client.connect(door.port)
        client.wait_s = wait_s
        try:
            await _check(door, client, case, piece_bytes, has_follower)
        finally:
            client.close()


def _piece_bytes(case: Case) -> int:
    """Byte by byte, but for what is large only in order to be too large."""
    return 61 if len(case.sent) > 1024 else 1


async def _check(
    door: SimpleNamespace, client: Client, case: Case, piece_bytes: int, has_follower: bool
) -> None:
    sent = case.sent + AFTER if has_follower else case.sent
    # After a refusal the native door reads on for a while, so that what is still sent does not
    # destroy the answer by a reset. ASGI servers do not, nor does a connection closed as agreed.
    is_refused = case.statuses[-1] >= 400
    await client.send(sent, piece_bytes, heeds_end=not (door.name == "native" and is_refused))
    await _check_answers(client, case)
    if not case.stays:
        assert await client.rest() == b""
        _check_received(door, case.received)
        return
    if not has_follower:
        await client.send(AFTER)
    assert (await client.answer()).status == 200
    assert await client.rest() == b""
    _check_received(door, (*case.received, Received("GET", b"/after")))


async def _check_answers(client: Client, case: Case) -> None:
    for number, status in enumerate(case.statuses):
        answer = await client.answer(is_head=number in case.heads)
        assert answer.status == status, answer
        is_a_server_s_own = status >= 400 and b"application/problem+json" not in answer.get_all(
            b"content-type"
        )
        # By its id an answer is found in a log, whoever refused the request.
        assert len(answer.get_all(b"x-request-id")) == (0 if is_a_server_s_own else 1)


def _check_received(door: SimpleNamespace, expected: tuple[Received, ...]) -> None:
    # A body found wrong midway has begun to be forwarded; what must not be is a whole request.
    requests = [request for request in door.upstream.requests if request.is_complete]
    assert [(r.method, r.target, r.body) for r in requests] == [
        (r.method, r.target, r.body) for r in expected
    ]
    for request, wanted in zip(requests, expected, strict=True):
        assert request.raw_head.startswith(
            b"%b %b HTTP/1.1\r\n" % (wanted.method.encode(), wanted.target)
        )
        assert len(request.get_all(b"host")) == 1
        assert len(request.get_all(b"content-length") + request.get_all(b"transfer-encoding")) <= 1
        for name, values in wanted.fields.items():
            assert request.get_all(name) == values, name
