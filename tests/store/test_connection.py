"""The pipelined connection on both real stores, and through a proxy that does it harm."""

import asyncio
import itertools
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.store import CommandFailed, Connection, Script, StoreUnavailable
from tidegate.store import pipeline as pipeline_module

Connect = Callable[..., Awaitable[Connection]]
Eventually = Callable[..., Awaitable[None]]
ECHO = Script.of("echo", "return ARGV[1]")


async def failure(reply: "asyncio.Future[Any]") -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        await reply
    return caught.value


async def test_replies_come_in_the_order_of_asking(address: Any, connect: Connect) -> None:
    connection = await connect(address)
    replies = [connection.execute("ECHO", number) for number in range(1000)]
    assert await asyncio.gather(*replies) == [b"%d" % number for number in range(1000)]


async def test_a_cancelled_waiter_does_not_shift_replies(address: Any, connect: Connect) -> None:
    connection = await connect(address)
    replies = [connection.execute("ECHO", number) for number in range(100)]
    for reply in replies[::3]:
        reply.cancel()
    await asyncio.sleep(0)
    rest = [connection.execute("ECHO", number) for number in range(100, 150)]
    answered = await asyncio.gather(*replies, *rest, return_exceptions=True)
    for number, answer in enumerate(answered):
        if number < 100 and number % 3 == 0:
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert answer == b"%d" % number


async def test_what_is_asked_in_one_tick_leaves_in_one_write(
    scripted: Any, connect: Connect
) -> None:
    segments: list[bytes] = []

    def answer(data: bytes) -> bytes:
        segments.append(data)
        return b"+x\r\n" * data.count(b"ECHO")

    connection = await connect(await scripted(answer))
    await asyncio.gather(*[connection.execute("ECHO", "x") for _ in range(50)])
    assert [segment.count(b"ECHO") for segment in segments] == [50]


async def test_a_timed_out_waiter_does_not_shift_replies(proxy: Any, connect: Connect) -> None:
    connection = await connect(proxy.address, timeout_s=0.05)
    proxy.freeze()
    started = time.monotonic()
    late = [connection.execute("ECHO", number) for number in range(10)]
    error = await failure(late[0])
    assert time.monotonic() - started > 0.045
    assert error.headers.get(b"retry-after") == b"1"
    kept = [connection.execute("ECHO", number, timeout_s=5) for number in range(10, 20)]
    proxy.thaw()
    assert await asyncio.gather(*kept) == [b"%d" % number for number in range(10, 20)]
    assert all(reply.exception() for reply in late)


async def test_each_command_has_its_own_deadline(proxy: Any, connect: Connect) -> None:
    connection = await connect(proxy.address, timeout_s=5)
    proxy.freeze()
    slow = connection.execute("ECHO", "slow")
    quick = connection.execute("ECHO", "quick", timeout_s=0.3)
    quicker = connection.execute("ECHO", "quicker", timeout_s=0.01)
    await failure(quicker)
    assert not quick.done()
    await failure(quick)
    assert not slow.done()
    proxy.thaw()
    assert await slow == b"slow"


async def test_a_loop_that_was_busy_past_the_deadline_finds_the_reply(
    address: Any, connect: Connect
) -> None:
    connection = await connect(address, timeout_s=0.05)
    # A count, not the clock: Valkey's TIME stands still while a script runs.
    some_ms = "for _ = 1, 2000000 do end return 'here'"
    held, holding = socket.socketpair()

    def hold() -> None:
        # libuv runs timers after such a callback and before it polls again.
        held.recv(1)
        time.sleep(0.1)

    loop = asyncio.get_running_loop()
    with held, holding:
        loop.add_reader(held, hold)
        reply = connection.execute("EVAL", some_ms, 0)
        await asyncio.sleep(0)
        holding.send(b"x")
        await asyncio.wait([reply])
        loop.remove_reader(held)
    assert reply.result() == b"here"


async def test_too_many_waiting_commands_are_refused_at_once(proxy: Any, connect: Connect) -> None:
    connection = await connect(proxy.address, timeout_s=5)
    proxy.freeze()
    waiting = [connection.execute("ECHO", 1) for _ in range(pipeline_module.WAITING_MAX)]
    refused = connection.execute("ECHO", 2)
    assert refused.done()
    assert "already wait" in (await failure(refused)).detail
    proxy.thaw()
    assert await waiting[-1] == b"1"
    assert await connection.execute("ECHO", 3) == b"3"


async def test_too_many_bytes_of_one_tick_are_refused_at_once(
    address: Any, connect: Connect
) -> None:
    connection = await connect(address)
    value = b"x" * (pipeline_module.UNSENT_BYTES_MAX // 2)
    taken = [connection.execute("SET", "big", value) for _ in range(3)]
    assert not any(reply.done() for reply in taken[:2])
    refused = connection.execute("ECHO", 1)
    assert "as fast" in (await failure(refused)).detail
    await taken[1]
    assert await connection.execute("ECHO", 2) == b"2"


async def test_a_store_that_does_not_read_is_told_no_more(proxy: Any, connect: Connect) -> None:
    connection = await connect(proxy.address, timeout_s=5)
    proxy.freeze()
    value = b"x" * (pipeline_module.UNSENT_BYTES_MAX // 4)
    asked = []
    while not asked or not asked[-1].done():
        asked.append(connection.execute("SET", "big", value))
        await asyncio.sleep(0)
        assert len(asked) < 20
    assert "as fast" in (await failure(asked[-1])).detail
    proxy.thaw()
    await asyncio.gather(*asked[:-1])
    assert await connection.execute("ECHO", 2) == b"2"


async def test_a_lost_link_fails_all_that_wait_then_all_that_ask(
    proxy: Any, connect: Connect
) -> None:
    connection = await connect(proxy.address)
    proxy.freeze()
    waiting = [connection.execute("PING") for _ in range(100)]
    await asyncio.sleep(0)
    proxy.cut()
    errors = [await failure(reply) for reply in waiting]
    assert len({id(error) for error in errors}) == 100
    refused = connection.execute("PING")
    assert refused.done()
    await failure(refused)
    proxy.thaw()
    await connection.wait_up(5)
    assert await connection.execute("PING") == b"PONG"


async def test_reconnecting_backs_off_and_is_bounded(
    proxy: Any, connect: Connect, eventually: Eventually
) -> None:
    attempts: list[float] = []
    connection = await connect(
        proxy.address, before_connect=lambda: attempts.append(time.monotonic())
    )
    await proxy.refuse()
    await eventually(lambda: len(attempts) == 4)
    pauses = [later - earlier for earlier, later in itertools.pairwise(attempts[1:])]
    assert pauses[-1] > pauses[0]
    assert 0.1 < sum(pauses) < 1.0
    await proxy.open()
    await connection.wait_up(5)


async def test_a_script_unknown_to_the_server_is_sent_by_source_and_runs_once(
    address: Any, connect: Connect
) -> None:
    connection = await connect(address)
    count = Script.of("count", "return redis.call('INCR', KEYS[1])")
    await connection.execute("DEL", "n")
    await connection.execute("SCRIPT", "FLUSH")
    replies = [connection.run(count, [b"n"], []) for _ in range(3)]
    between = connection.execute("GET", "n")
    assert await asyncio.gather(*replies) == [1, 2, 3]
    assert await between is None
    assert await connection.run(count, [b"n"], []) == 4
    assert await connection.execute("GET", "n") == b"4"


async def test_a_cancelled_script_is_not_sent_again(address: Any, connect: Connect) -> None:
    connection = await connect(address)
    await connection.execute("SCRIPT", "FLUSH")
    await connection.execute("DEL", "n")
    script = Script.of("once", "return redis.call('INCR', KEYS[1])")
    reply = connection.run(script, [b"n"], [])
    kept = connection.run(ECHO, [], [b"here"])
    await asyncio.sleep(0)
    reply.cancel()
    assert await kept == b"here"
    assert await connection.execute("EXISTS", "n") == 0


async def test_an_error_reply_is_the_command_s_own(address: Any, connect: Connect) -> None:
    connection = await connect(address)
    await connection.execute("SET", "text", "x")
    failed = connection.execute("INCR", "text")
    after = connection.execute("ECHO", "after")
    with pytest.raises(CommandFailed) as caught:
        await failed
    assert caught.value.code == "ERR"
    assert "not an integer" in str(caught.value)
    assert "not an integer" not in caught.value.detail
    assert await after == b"after"


@pytest.mark.parametrize("code", ["LOADING", "MASTERDOWN", "OOM", "NOAUTH", "BUSY", "CLUSTERDOWN"])
async def test_a_server_that_cannot_serve_is_unavailable(
    scripted: Any, connect: Connect, code: str
) -> None:
    connection = await connect(await scripted(lambda _: b"-%s some text\r\n" % code.encode()))
    assert code in (await failure(connection.execute("SET", "a", 1))).detail
    assert connection.is_up


async def test_a_read_only_store_is_left_for_a_new_link(
    scripted: Any, connect: Connect, eventually: Eventually
) -> None:
    links: list[int] = []
    connection = await connect(
        await scripted(lambda _: b"-READONLY You can't write against a read only replica.\r\n"),
        on_end=lambda: links.append(1),
    )
    await failure(connection.execute("SET", "a", 1))
    assert not connection.is_up
    await eventually(lambda: links == [1])
    await connection.wait_up(5)


@pytest.mark.parametrize("nonsense", [b"+OK\r\n+again\r\n", b"?\r\n", b"HTTP/1.1 400 Bad Request"])
async def test_a_peer_that_does_not_speak_the_protocol_is_dropped(
    scripted: Any, connect: Connect, eventually: Eventually, nonsense: bytes
) -> None:
    connection = await connect(await scripted(lambda _: nonsense))
    reply = connection.execute("PING")
    await asyncio.wait([reply])
    await eventually(lambda: not connection.is_up)


async def test_an_answer_that_nobody_fetches_is_no_news(
    proxy: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await connect(proxy.address)
    proxy.freeze()
    connection.execute("PING")
    connection.execute("NOSUCH")
    proxy.cut()
    await asyncio.sleep(0.05)
    assert caplog.records == []


async def test_closing_fails_who_waits_and_is_final(proxy: Any, connect: Connect) -> None:
    connection = await connect(proxy.address)
    proxy.freeze()
    waiting = connection.execute("PING")
    await connection.aclose()
    await failure(waiting)
    await failure(connection.execute("PING"))
    await connection.aclose()


async def test_closing_amid_the_greeting_leaves_nothing_open(proxy: Any) -> None:
    proxy.freeze()
    connection = Connection(proxy.address)
    connection.start()
    with pytest.raises(StoreUnavailable):
        await connection.wait_up(0.05)
    await connection.aclose()
    assert len(asyncio.all_tasks() - proxy._tasks) == 1


async def test_a_cancelled_wait_leaves_the_connection_as_it_was(proxy: Any) -> None:
    proxy.freeze()
    connection = Connection(proxy.address, timeout_s=5)
    connection.start()
    waiting = asyncio.create_task(connection.wait_up(5))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    proxy.thaw()
    await connection.wait_up(5)
    asking = asyncio.ensure_future(connection.execute("ECHO", 1))
    asking.cancel()
    assert await connection.execute("ECHO", 2) == b"2"
    await connection.aclose()


async def test_a_link_whose_preparing_fails_unexpectedly_is_made_again(
    valkey_address: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0

    async def prepare(_: object) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise ValueError("a store that says what nobody expects")

    connection = await connect(valkey_address, prepare=prepare)
    assert attempts == 3
    assert await connection.execute("ECHO", 1) == b"1"
    assert len(caplog.records) == 1
