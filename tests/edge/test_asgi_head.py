"""The head of a scope: fields that are known are not sorted anew, and nobody can tell."""

import asyncio

import pytest

from tests.edge.wire_cases import CASES
from tidegate.edge import asgi_head
from tidegate.edge.asgi_head import BLOCK_BYTES_MAX, BLOCKS_MAX, HeadReader
from tidegate.http.errors import BadRequest, GatewayError

HOST = (b"host", b"a")
HEADS = [case.sent.partition(b"\r\n\r\n")[0] for case in CASES if len(case.sent) < 1024]


def scope_of(*fields, **changed):
    scope = {"method": "GET", "path": "/x", "raw_path": b"/x", "query_string": b""}
    return {**scope, "http_version": "1.1", "headers": [HOST, *fields], **changed}


def outcome(reader, scope):
    """All that `read` says of a scope, comparable."""
    try:
        request, connection = reader.read(scope, 2048)
    except GatewayError as error:
        return type(error), str(error)
    told = (request.method, request.target, request.host, request.http_version)
    return (*told, list(request.headers), request.content_length, connection)


def scope_as_sent(head: bytes):
    """As a server would hand on a head that its parser takes; None for one that none takes."""
    line, *lines = head.split(b"\r\n")
    words = line.split(b" ")
    fields = [text.partition(b":")[::2] for text in lines]
    if len(words) != 3 or any(not name or name != name.strip() for name, _ in fields):
        return None
    path, _, query = words[1].partition(b"?")
    return scope_of(
        method=words[0].decode("latin-1"),
        path=path.decode("latin-1"),
        raw_path=path,
        query_string=query,
        http_version=words[2][5:].decode("latin-1"),
        headers=[(name.lower(), value) for name, value in fields],
    )


@pytest.mark.parametrize("head", HEADS)
async def test_what_is_known_is_judged_as_what_is_new(head):
    if (scope := scope_as_sent(head)) is None:
        return
    reader = HeadReader()
    first = outcome(reader, scope)
    # A method in lower case is refused before the fields are looked at.
    assert reader.known or first[0] is BadRequest
    assert outcome(reader, scope) == first
    # The fields are known now; the line is another.
    other = {**scope, "method": "DELETE", "raw_path": b"/other", "query_string": b"q"}
    assert outcome(reader, other) == outcome(HeadReader(), other)


async def test_what_a_policy_does_to_the_fields_is_not_remembered():
    reader = HeadReader()
    scope = scope_of((b"x-a", b"1"), (b"connection", b"x-a"))
    for _ in range(2):
        request, _ = reader.read(scope, 2048)
        assert list(request.headers) == [HOST]
        request.headers.replace(b"x-api-key", b"changed")


async def test_what_was_known_is_forgotten_after_a_moment(monkeypatch, eventually):
    monkeypatch.setattr(asgi_head, "KEPT_S", 0.01)
    reader = HeadReader()
    for key in (b"one", b"other"):
        reader.read(scope_of((b"x-api-key", key)), 2048)
        assert len(reader.known) == 1
        await eventually(lambda: not reader.known)


async def test_a_head_that_is_refused_is_forgotten_too(monkeypatch, eventually):
    monkeypatch.setattr(asgi_head, "KEPT_S", 0.01)
    reader = HeadReader()
    with pytest.raises(BadRequest):
        reader.read(scope_of((b"x-api-key", b"k"), raw_path=b"/\x80"), 2048)
    await eventually(lambda: not reader.known)


def test_what_was_known_is_forgotten_in_another_loop_too(monkeypatch, eventually):
    monkeypatch.setattr(asgi_head, "KEPT_S", 0.01)
    reader = HeadReader()

    async def read(key):
        reader.read(scope_of((b"x-api-key", key)), 2048)

    async def read_and_wait():
        await read(b"other")
        assert len(reader.known) == 1
        await eventually(lambda: not reader.known)

    asyncio.run(read(b"one"))
    asyncio.run(read_and_wait())


async def test_what_is_known_is_bounded():
    reader = HeadReader()
    reader.read(scope_of((b"x-a", b"b" * BLOCK_BYTES_MAX)), 2048)
    assert not reader.known
    for number in range(BLOCKS_MAX + 10):
        reader.read(scope_of((b"x-a", b"%d" % number)), 2048)
    assert len(reader.known) == BLOCKS_MAX


async def test_a_server_may_give_its_fields_as_lists():
    scope = scope_of(headers=[[b"host", b"a"], [b"x-a", b"1"]])
    request, _ = HeadReader().read(scope, 2048)
    assert list(request.headers) == [(b"x-a", b"1"), HOST]
