"""Who gets a connection, who waits, who is refused; and that no cancellation loses a slot."""

import asyncio

import pytest

from tidegate.config.schema import Pool as Bounds
from tidegate.http.errors import UpstreamUnavailable
from tidegate.testing.scripted_upstream import Act
from tidegate.upstream.pool import Step, plan
from tidegate.upstream.sweep import Pace

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("idle", "held", "waiting", "step"),
    [
        (0, 0, 0, Step.OPEN),
        (0, 1, 0, Step.OPEN),
        (1, 2, 0, Step.REUSE),
        (1, 1, 0, Step.REUSE),
        (0, 2, 0, Step.WAIT),
        (0, 2, 2, Step.WAIT),
        (0, 2, 3, Step.REFUSE),
        (0, 2, 9, Step.REFUSE),
    ],
)
def test_the_plan(idle, held, waiting, step):
    assert plan(idle, held, waiting, Bounds(connections=2, waiting=3)) is step


def test_a_pool_without_queue_refuses_at_once():
    assert plan(0, 1, 0, Bounds(connections=1, waiting=0)) is Step.REFUSE


@pytest.fixture
def gated(serve, client, ask, eventually):
    """An upstream that answers when `gate` is set, and a client with one connection."""

    async def make(**pool):
        gate = asyncio.Event()
        server = await serve([gate, OK])
        upstream = client(server, pool={"connections": 1, **pool}, timeouts={"connect": 0.5})

        async def start(count=1):
            sent = len(server.requests)
            tasks = [asyncio.create_task(upstream.send(ask("POST"))) for _ in range(count)]
            if not sent:
                expected = min(count, pool.get("connections", 1))
                await eventually(lambda: len(server.requests) == expected)
            else:
                await asyncio.sleep(0)
            return tasks

        return gate, server, upstream, start

    return make


async def test_never_more_connections_than_the_bound(gated, counts):
    gate, server, upstream, start = await gated(connections=3)
    tasks = await start(20)
    assert counts(upstream).held == 3
    assert counts(upstream).waiting == 17
    gate.set()
    assert {(await task).status for task in tasks} == {200}
    assert server.connections_opened == 3
    assert counts(upstream).waiting == 0


async def test_waiters_are_served_in_their_order(serve, client, ask):
    server = await serve(OK)
    upstream = client(server, pool={"connections": 1})
    sending = [upstream.send(ask("GET", b"/%d" % number)) for number in range(10)]
    await asyncio.gather(*sending)
    assert [request.target for request in server.requests] == [b"/%d" % n for n in range(10)]


async def test_beyond_the_queue_is_503_with_retry_after(gated):
    gate, _, _, start = await gated(waiting=2)
    tasks = await start(4)
    with pytest.raises(UpstreamUnavailable, match="busy") as caught:
        await tasks[3]
    assert caught.value.headers == [(b"retry-after", b"1")]
    gate.set()
    assert [(await task).status for task in tasks[:3]] == [200] * 3


async def test_waiting_too_long_is_503(gated, counts):
    gate, _, upstream, start = await gated()
    tasks = await start(2)
    with pytest.raises(UpstreamUnavailable, match="busy"):
        await tasks[1]
    assert counts(upstream).waiting == 0
    gate.set()
    assert (await tasks[0]).status == 200


async def test_the_last_used_connection_is_used_first(serve, client, ask):
    gate = asyncio.Event()
    server = await serve([gate, OK])
    upstream = client(server)
    both = asyncio.gather(upstream.send(ask()), upstream.send(ask()))
    gate.set()
    await both
    last = server.requests[-1].connection
    for _ in range(3):
        await upstream.send(ask())
    first_used_last = {request.connection for request in server.requests[2:]}
    assert len(first_used_last) == 1
    assert last in {1, 2}


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_an_idle_connection_is_closed_in_its_time(serve, client, ask, counts, eventually):
    server = await serve(OK)
    upstream = client(server, pool={"idle_timeout": 0.1})
    await upstream.send(ask())
    assert counts(upstream).idle == 1
    await eventually(lambda: server.connections_open == 0)
    assert counts(upstream).held == 0


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_the_timer_stops_when_nothing_is_open(serve, client, ask, eventually):
    server = await serve(OK)
    upstream = client(server, pool={"idle_timeout": 0.1})
    await upstream.send(ask())
    (pool,) = upstream._pools
    assert pool.sweep.pace is Pace.BUSY
    await eventually(lambda: pool.sweep.pace is Pace.STOPPED)
    await upstream.send(ask())
    assert pool.sweep.pace is Pace.BUSY


async def test_bytes_on_an_idle_connection_close_it(serve, client, ask, counts, eventually):
    gate = asyncio.Event()
    server = await serve([OK, gate, OK], OK)
    upstream = client(server)
    await upstream.send(ask())
    gate.set()
    await eventually(lambda: counts(upstream).held == 0)
    await upstream.send(ask())
    assert server.connections_opened == 2


# Cancelled at each await that holds something.


async def cancelled(task):
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_cancelled_while_connecting_the_slot_is_free(client, ask, counts):
    upstream = client("http://127.0.0.1:9")
    sending = asyncio.create_task(upstream.send(ask()))
    await asyncio.sleep(0)
    assert counts(upstream).held == 1
    await cancelled(sending)
    assert counts(upstream).held == 0


async def test_cancelled_while_connecting_the_next_waiter_may_open(serve, client, ask, counts):
    server = await serve(OK)
    upstream = client(server, pool={"connections": 1})
    first, second = (asyncio.create_task(upstream.send(ask())) for _ in range(2))
    await asyncio.sleep(0)
    assert (counts(upstream).held, counts(upstream).waiting) == (1, 1)
    await cancelled(first)
    assert (await second).status == 200
    assert counts(upstream).held == 1


async def test_cancelled_while_waiting_the_place_is_free(gated, counts):
    gate, _, upstream, start = await gated()
    tasks = await start(3)
    assert counts(upstream).waiting == 2
    await cancelled(tasks[1])
    assert counts(upstream).waiting == 1
    gate.set()
    assert [(await tasks[n]).status for n in (0, 2)] == [200, 200]
    assert (counts(upstream).held, counts(upstream).idle) == (1, 1)


async def test_cancelled_with_a_connection_handed_over_it_goes_to_the_next(gated, counts):
    gate, server, upstream, start = await gated()
    tasks = await start(3)
    (pool,) = upstream._pools
    _, waiter = pool._waiters[0]
    gate.set()
    while not waiter.done():  # noqa: ASYNC110 the very turn of the loop matters
        await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert tasks[1].cancelled()
    assert [tasks[n].result().status for n in (0, 2)] == [200, 200]
    assert len(server.requests) == 2
    assert (counts(upstream).held, counts(upstream).idle) == (1, 1)


async def test_cancelled_with_the_right_to_open_it_goes_to_the_next(gated, counts):
    gate, _, upstream, start = await gated()
    tasks = await start(3)
    (pool,) = upstream._pools
    _, waiter = pool._waiters[0]
    tasks[0].cancel()
    while not waiter.done():  # noqa: ASYNC110 the very turn of the loop matters
        await asyncio.sleep(0)
    tasks[1].cancel()
    gate.set()
    await asyncio.wait(tasks)
    assert tasks[2].result().status == 200
    assert (counts(upstream).held, counts(upstream).idle) == (1, 1)


async def test_a_failed_connect_wakes_the_next_waiter(client, ask, counts):
    upstream = client("http://127.0.0.1:9", pool={"connections": 1})
    results = await asyncio.gather(
        *[upstream.send(ask()) for _ in range(5)], return_exceptions=True
    )
    assert all(isinstance(result, UpstreamUnavailable) for result in results)
    assert (counts(upstream).held, counts(upstream).waiting) == (0, 0)


async def test_closing_refuses_who_waits(gated, counts):
    _, _, upstream, start = await gated()
    tasks = await start(3)
    await upstream.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(results) == 3
    assert all(isinstance(result, Exception) for result in results)
    assert (counts(upstream).held, counts(upstream).waiting) == (0, 0)


async def test_a_stalled_exchange_frees_its_slot_for_a_waiter(serve, client, ask, counts):
    server = await serve([Act.STALL], OK)
    upstream = client(server, pool={"connections": 1}, timeouts={"first_byte": 0.1, "connect": 2})
    results = await asyncio.gather(
        *[upstream.send(ask()) for _ in range(2)], return_exceptions=True
    )
    assert results[0].status == 504
    assert results[1].status == 200
