"""An outage costs no waiting: frozen, slow and paused stores, behind real sockets.

The deadline of these tests is long enough for a busy machine; what they claim is counted in
deadlines.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate.store import Connection, StoreUnavailable

Connect = Callable[..., Awaitable[Connection]]
Eventually = Callable[..., Awaitable[None]]
DEADLINE_S = 0.2
IN_TIME = "The store did not answer in time"
TOO_SLOWLY = "The store answers too slowly"
"""Why who waits fails: his own deadline has passed, or that of the question whether it is well."""


async def why(waiter: Awaitable[Any]) -> str | None:
    with pytest.raises(StoreUnavailable) as caught:
        await waiter
    return caught.value.detail


async def doubted(connection: Connection) -> None:
    """Ask what a request would, and miss the deadline."""
    assert await why(connection.execute("EVAL", "return 1", 0)) == IN_TIME


async def test_a_frozen_store_costs_waiting_for_two_deadlines_and_none_after(
    proxy: Any, connect: Connect
) -> None:
    """Pain points 6, 9 and 13: a slow Redis blocks every request, and each waits for seconds."""
    connection = await connect(proxy.address, timeout_s=DEADLINE_S)
    proxy.freeze()
    frozen_at = time.monotonic()
    patient = connection.execute("ECHO", 1, timeout_s=60)
    await doubted(connection)
    assert await why(patient) == TOO_SLOWLY
    assert not connection.is_up
    assert time.monotonic() - frozen_at >= DEADLINE_S * 2
    for _ in range(20):
        refused = connection.execute("ECHO", 1)
        assert refused.done()
        assert isinstance(refused.exception(), StoreUnavailable)
        await asyncio.sleep(0.05)
    proxy.thaw()
    await connection.wait_up(10)
    assert await connection.execute("ECHO", 1) == b"1"


async def test_whoever_waits_when_the_store_is_found_out_waits_no_longer(
    proxy: Any, connect: Connect
) -> None:
    connection = await connect(proxy.address, timeout_s=DEADLINE_S)
    proxy.freeze()
    await doubted(connection)
    await asyncio.sleep(DEADLINE_S / 2)
    assert await why(connection.execute("EVAL", "return 1", 0)) == TOO_SLOWLY


async def test_a_store_that_always_answers_too_late_is_out(
    proxy: Any, connect: Connect, eventually: Eventually
) -> None:
    connection = await connect(proxy.address, timeout_s=DEADLINE_S)
    proxy.delay_s = DEADLINE_S * 1.5
    await doubted(connection)
    await eventually(lambda: not connection.is_up)
    with pytest.raises(StoreUnavailable):  # links can be made, and prove nothing
        await connection.wait_up(4)
    proxy.delay_s = 0.0
    await connection.wait_up(10)
    assert await connection.execute("ECHO", 1) == b"1"


async def test_one_late_answer_is_no_outage(proxy: Any, connect: Connect) -> None:
    connection = await connect(proxy.address, timeout_s=DEADLINE_S)
    own = await connection.execute("CLIENT", "ID")
    proxy.freeze()
    await doubted(connection)
    proxy.thaw()
    await asyncio.sleep(DEADLINE_S * 2)
    assert await connection.execute("CLIENT", "ID") == own


@pytest.mark.parametrize("pause", ["ALL", "WRITE"])
async def test_a_paused_store_is_out_although_it_may_answer_pings(
    address: Any, connect: Connect, pause: str
) -> None:
    """`CLIENT PAUSE … WRITE`, as a manual fail-over has it, holds scripts and answers PING."""
    connection = await connect(address, timeout_s=DEADLINE_S)
    await connection.execute("CLIENT", "PAUSE", 2500, pause)
    paused_at = time.monotonic()
    patient = connection.execute("EVAL", "return 1", 0, timeout_s=60)
    await doubted(connection)
    assert await why(patient) == TOO_SLOWLY
    await connection.wait_up(15)
    assert time.monotonic() - paused_at > 2.4
    assert await connection.execute("EVAL", "return 1", 0) == 1


async def test_a_store_at_the_edge_is_asked_for_less_and_less_often(
    proxy: Any, connect: Connect, eventually: Eventually
) -> None:
    attempts: list[float] = []
    connection = await connect(
        proxy.address,
        timeout_s=DEADLINE_S,
        before_connect=lambda: attempts.append(time.monotonic()),
    )
    proxy.freeze()
    await doubted(connection)
    await eventually(lambda: not connection.is_up)
    proxy.delay_s = DEADLINE_S * 0.4  # there and back: within the deadline, beyond half of it
    proxy.thaw()
    await eventually(lambda: len(attempts) == 6, 20)
    assert not connection.is_up
    pauses = [later - earlier for earlier, later in itertools.pairwise(attempts[1:])]
    assert pauses[-1] > pauses[0]


async def test_a_store_that_is_well_at_the_edge_is_not_shut_out_for_good(
    proxy: Any, connect: Connect, eventually: Eventually
) -> None:
    """It was good enough at the start, and proves in time what it can: a script within the whole
    deadline."""
    proxy.delay_s = DEADLINE_S * 0.3  # there and back: beyond half of the deadline
    connection = await connect(proxy.address, timeout_s=DEADLINE_S)
    assert await connection.execute("ECHO", 1) == b"1"
    proxy.freeze()
    await doubted(connection)
    await eventually(lambda: not connection.is_up)
    proxy.thaw()
    await connection.wait_up(30)
    assert await connection.execute("ECHO", 1) == b"1"
