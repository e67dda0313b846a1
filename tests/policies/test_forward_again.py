"""Fields that arrived before are sent on as they were then, and never what a policy has changed."""

from collections import defaultdict
from pathlib import Path

import pytest

from tidegate.http import Headers, Outcome, Request
from tidegate.http.headers import FieldBlock
from tidegate.policies.forward import NOTES_MAX

FIELDS = (
    (b"user-agent", b"a"),
    (b"cookie", b"one"),
    (b"te", b"trailers"),
    (b"x-api-key", b"premium_user"),
    (b"cookie", b"two"),
    (b"host", b"gateway.test"),
)
OWN = """
def build():
    async def policy(request, call_next):
        %s
        return await call_next(request)
    return policy
"""
IDS = (b"x-request-id", b"traceparent")


async def sent(kit, block: FieldBlock, client: str = "127.0.0.1", *, is_known: bool = True):
    """Send a request with the fields of `block`; return what the service got, by name."""
    request = Request("GET", b"/api/x", Headers(block.fields), host=b"gateway.test", client=client)
    request.block = block if is_known else None
    response = await kit.gateway.handle(request)
    await response.aclose(Outcome.COMPLETE)
    received = defaultdict(list)
    for name, value in kit.upstream.requests[-1].headers:
        received[name.lower()].append(value)
    assert all(len(received.pop(name)) == 1 for name in IDS)
    return received


@pytest.mark.parametrize(
    "change",
    [
        "pass",
        "request.headers.append((b'x-own', b'1'))",
        "request.headers.append((b'cookie', b'three'))",
        "request.headers.append((b'x-tidegate-tenant', b'evil'))",
        "request.headers.append((b'via', b'1.1 other'))",
        "request.headers.append((b'Host', b'evil.test'))",
        "request.headers.insert(0, (b'cookie', b'zero'))",
        "request.headers.remove_all([b'cookie'])",
        "request.headers.replace(b'user-agent', b'b')",
        "request.host = b'other.test'",
        "request.headers = type(request.headers)(request.headers[-2:])",
    ],
)
async def test_the_service_gets_what_it_would_have_got(tidegate_kit, tmp_path: Path, change):
    (tmp_path / "own.py").write_text(OWN % change)
    kit = await tidegate_kit(policies=[{"use": "own.py", "before": "forward"}], directory=tmp_path)
    block = FieldBlock(FIELDS)
    expected = await sent(kit, block, is_known=False)
    assert not {b"te", b"x-api-key"} & set(expected)
    for _ in range(3):
        assert await sent(kit, block) == expected


async def test_what_passes_is_noted_and_a_change_is_not(tidegate_kit):
    kit = await tidegate_kit()
    block = FieldBlock(FIELDS)
    await sent(kit, block)
    noted = [note for note in block.notes.values() if isinstance(note, bytes)]
    assert len(noted) == 1
    assert noted[0].startswith(b"\r\nuser-agent: a\r\ncookie: one\r\ncookie: two\r\n")
    assert b"premium_user" not in noted[0]


async def test_each_client_is_told_of_by_its_own_address_and_notes_are_bounded(tidegate_kit):
    kit = await tidegate_kit()
    block = FieldBlock(FIELDS)
    for number in range(2 * NOTES_MAX):
        client = f"10.0.0.{number}"
        received = await sent(kit, block, client)
        assert received[b"x-forwarded-for"] == [client.encode()]
    assert len(block.notes) <= NOTES_MAX
