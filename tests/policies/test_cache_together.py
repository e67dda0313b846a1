"""Concurrent requests for one thing: asked for once, and never answered with another's bytes."""

import asyncio
from typing import Any

import pytest

from tidegate.cache import flights
from tidegate.testing import Kit

WAITERS = 8
BIG = b"x" * 300_000


def ask(kit: Kit, target: str = "/api/x", tenant: str = "acme", **options: Any) -> Any:
    return asyncio.ensure_future(kit.get(target, key=f"{tenant}_key", **options))


async def waiting(kit: Kit, count: int, eventually: Any, target: str = "/api/x") -> list[Any]:
    """Start `count` requests; return when the service was asked by the first of them."""
    tasks = [ask(kit, target) for _ in range(count)]
    await eventually(lambda: len(kit.upstream.requests) == 1)
    return tasks


@pytest.mark.parametrize("body", [b"hello", b"y" * 40_000, BIG], ids=["small", "medium", "large"])
async def test_concurrent_misses_ask_once(tenants_kit, eventually, body: bytes):
    kit = await tenants_kit()
    gate = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    kit.upstream.script = [[gate, head, body]]
    tasks = await waiting(kit, WAITERS, eventually)
    gate.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.body for answer in answers] == [body] * WAITERS
    assert len(kit.upstream.requests) == 1
    assert len(kit.gateway.parts.cache.flights) == 0


async def test_waiters_of_what_may_not_be_shared_go_on_at_once_and_all_together(
    tenants_kit, eventually
):
    kit = await tenants_kit()
    first, rest = asyncio.Event(), asyncio.Event()
    private = b"HTTP/1.1 200 OK\r\ncache-control: private\r\ncontent-length: 1\r\n\r\n"
    kit.upstream.script = [[first, private + b"1"], [rest, private + b"2"]]
    tasks = await waiting(kit, WAITERS, eventually)
    first.set()
    # All of them are with the service while none of them has an answer: never one by one.
    await eventually(lambda: len(kit.upstream.requests) == WAITERS)
    rest.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(answer.body for answer in answers) == [b"1"] + [b"2"] * (WAITERS - 1)
    # And from now on nobody waits for such an answer.
    later = [ask(kit) for _ in range(3)]
    await eventually(lambda: len(kit.upstream.requests) == WAITERS + 3)
    await asyncio.gather(*later)


async def test_waiters_of_a_failure_go_on_together(tenants_kit, eventually):
    kit = await tenants_kit()
    first, rest = asyncio.Event(), asyncio.Event()
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    kit.upstream.script = [[first, b"nonsense\r\n\r\n"], [rest, ok]]
    tasks = await waiting(kit, WAITERS, eventually)
    first.set()
    await eventually(lambda: len(kit.upstream.requests) == WAITERS)
    rest.set()
    statuses = [answer.status for answer in await asyncio.gather(*tasks)]
    assert sorted(statuses) == [200] * (WAITERS - 1) + [502]


async def test_a_cancelled_leader_hands_on_to_one_of_the_waiters(tenants_kit, eventually):
    kit = await tenants_kit()
    gate = asyncio.Event()
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    kit.upstream.script = [[gate, ok]]
    tasks = await waiting(kit, WAITERS, eventually)
    tasks[0].cancel()
    await eventually(lambda: len(kit.upstream.requests) == 2)
    gate.set()
    answers = await asyncio.gather(*tasks[1:])
    assert [answer.body for answer in answers] == [b"ok"] * (WAITERS - 1)
    assert len(kit.upstream.requests) == 2
    await asyncio.gather(tasks[0], return_exceptions=True)


async def test_waiters_for_another_variant_go_on_by_themselves(tenants_kit, eventually):
    kit = await tenants_kit()
    gate = asyncio.Event()

    async def by_language(request: Any) -> Any:
        await gate.wait()
        return 200, {"vary": "Accept-Language"}, request.get_all(b"accept-language")[0]

    kit.upstream.script = [by_language]
    tasks = [ask(kit, headers={"accept-language": lang}) for lang in ("de", "en", "de", "en")]
    await eventually(lambda: len(kit.upstream.requests) == 1)
    gate.set()
    answers = [answer.body for answer in await asyncio.gather(*tasks)]
    assert answers == [b"de", b"en", b"de", b"en"]


async def test_a_waiter_asks_by_itself_after_its_bound(tenants_kit, eventually, monkeypatch):
    monkeypatch.setattr("tidegate.cache.flights.WAIT_S_MAX", 0.05)
    kit = await tenants_kit()
    gate = asyncio.Event()
    kit.upstream.script = [[gate, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]]
    tasks = await waiting(kit, 3, eventually)
    await eventually(lambda: len(kit.upstream.requests) == 3)
    gate.set()
    assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}


@pytest.mark.parametrize("change", ["PUT", "purge"])
async def test_who_asks_after_a_change_gets_nothing_from_before_it(tenants_kit, eventually, change):
    kit = await tenants_kit()
    gate = asyncio.Event()
    bodies = iter([b"old", b"new"])

    async def service(request: Any) -> Any:
        if request.method == "PUT":
            return 204, {}, b""
        body = next(bodies)
        if body == b"old":
            await gate.wait()
        return 200, {}, body

    kit.upstream.script = [service]
    (first,) = await waiting(kit, 1, eventually)
    if change == "PUT":
        answer = await kit.request("PUT", "/api/x", key="acme_key", body=b"new")
        assert answer.status == 204
    else:
        await kit.gateway.parts.cache.storage.purge_all()
    second = ask(kit)
    done, _ = await asyncio.wait([second], timeout=3)
    gate.set()
    assert (await first).body == b"old"
    assert done
    assert second.result().body == b"new"
    assert (await ask(kit)).body == b"new"


async def test_who_asks_after_a_change_waits_for_others_who_do(tenants_kit, eventually):
    kit = await tenants_kit()
    gates = [asyncio.Event(), asyncio.Event()]
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
    kit.upstream.script = [[gates[0], ok + b"old"], [gates[1], ok + b"new"]]
    (first,) = await waiting(kit, 1, eventually)
    await kit.gateway.parts.cache.storage.purge_all()
    later = [ask(kit) for _ in range(WAITERS)]
    await eventually(lambda: len(kit.upstream.requests) == 2)
    for gate in reversed(gates):
        gate.set()
    assert [answer.body for answer in await asyncio.gather(*later)] == [b"new"] * WAITERS
    assert (await first).body == b"old"
    assert len(kit.upstream.requests) == 2


async def test_where_the_generations_are_unknown_nobody_waits_or_is_waited_for(
    tenants_kit, eventually
):
    kit = await tenants_kit()
    gate = asyncio.Event()
    kit.upstream.script = [[gate, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]]
    (first,) = await waiting(kit, 1, eventually)
    await kit.gateway.parts.cache.connection.aclose()
    later = [ask(kit) for _ in range(3)]
    await eventually(lambda: len(kit.upstream.requests) == 4, 3)
    gate.set()
    answers = await asyncio.gather(first, *later)
    assert [answer.body for answer in answers] == [b"ok"] * 4


async def test_who_waits_for_a_client_that_had_the_answer_is_sent_it_whole(tenants_kit, eventually):
    kit = await tenants_kit()
    gate = asyncio.Event()

    async def service(request: Any) -> Any:
        await gate.wait()
        if request.get_all(b"if-none-match"):
            return 304, {"etag": '"a"'}, b""
        return 200, {"etag": '"a"'}, b"hello"

    kit.upstream.script = [service]
    first = ask(kit, headers={"if-none-match": '"a"'})
    rest = [ask(kit) for _ in range(WAITERS)]
    await eventually(lambda: len(kit.upstream.requests) == 1)
    gate.set()
    assert (await first).status == 304
    assert [answer.body for answer in await asyncio.gather(*rest)] == [b"hello"] * WAITERS
    assert len(kit.upstream.requests) == 1


def test_the_bounds_are_those_that_the_documentation_states() -> None:
    assert (flights.WAIT_S_MAX, flights.STREAM_S_MAX) == (5.0, 1.0)
