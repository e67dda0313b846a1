"""Webhooks of real gateways: every share of a quota is told, whatever is killed in between."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.webhooks.conftest import KEY, SECRET, Receiver, receiving

KNOWN = "X-API-Key: premium_user\r\n"
PATH = "/api/v1/test"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def notifying(config_text: str, receiver: Receiver) -> str:
    """The usual configuration, with a quota of five for each key, which tells at 3 and at 5."""
    quota = "{limits: [{name: daily, quota: 5/day, notify: [0.6, 1.0]}]}"
    webhooks = f'webhooks: {{url: "{receiver.url}", secret: {SECRET}, timeout: 1s}}\n'
    return webhooks + config_text.replace("{rate: 100000/s, burst: 100000}", quota)


def shares(receiver: Receiver) -> list[tuple[str, float]]:
    return [(delivery.id, delivery.event["data"]["share"]) for delivery in receiver.got]


async def spend(gateway: Any) -> None:
    statuses = [(await gateway.get(PATH, KNOWN)).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]


async def test_each_share_is_told_once_and_counted(
    running_gateway: Any, clients: Any, receiver: Receiver, notifying: str
) -> None:
    gateway = running_gateway(config=notifying)
    await spend(gateway)
    await clients.eventually(lambda: len(receiver.got) == 2)
    assert sorted(share for _, share in shares(receiver)) == [0.6, 1.0]
    assert all(delivery.is_signed_with(KEY) for delivery in receiver.got)
    told = receiver.got[0].event["data"]
    assert (told["tenant"], told["plan"], told["limit"]) == ("acme", "premium", "daily")
    expected = 'tidegate_webhook_attempts_total{outcome="delivered"} 2.0'
    metrics = ""
    async with httpx2.AsyncClient(base_url=gateway.admin_url) as admin, asyncio.timeout(10):
        while expected not in metrics:  # numbers are written each second
            metrics = (await admin.get("/metrics")).text
    assert 'tidegate_webhook_events_total{outcome="written"} 2.0' in metrics
    assert "tidegate_workers 2.0" in metrics


async def test_all_that_was_reached_is_told_although_everything_was_killed(
    running_gateway: Any, clients: Any, receiver: Receiver, notifying: str
) -> None:
    """The receiver is down, then every process of the gateway is killed at once."""
    await receiver.stop()
    gateway = running_gateway(config=notifying)
    await spend(gateway)
    everything = {
        gateway.process.pid,
        *gateway.control(),
        *gateway.workers(),
        *gateway.stores(),
    }
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    await gateway.ended()
    await clients.eventually(lambda: not gateway.stores())
    await receiver.start()
    successor = running_gateway(config=notifying, port=gateway.port)
    await clients.eventually(lambda: len({event for event, _ in shares(receiver)}) == 2, 30)
    assert (await successor.get(PATH, KNOWN)).status == 429
    assert sorted({share for _, share in shares(receiver)}) == [0.6, 1.0]


async def test_a_control_process_that_dies_amid_a_delivery_is_followed_by_one_that_delivers(
    running_gateway: Any, clients: Any, receiver: Receiver, notifying: str
) -> None:
    """The receiver got the event and the gateway does not know: it comes once more, not oftener."""
    receiver.answers = [None, None]
    gateway = running_gateway(config=notifying.replace("timeout: 1s", "timeout: 5s"), workers=1)
    await spend(gateway)
    await clients.eventually(lambda: len(receiver.got) == 2)
    (pid,) = gateway.control()
    os.kill(pid, signal.SIGKILL)
    await clients.eventually(lambda: len(receiver.got) == 4, 30)
    assert len(set(shares(receiver))) == 2
    assert all(delivery.is_signed_with(KEY) for delivery in receiver.got)


async def test_without_a_control_process_the_workers_deliver(
    running_gateway: Any, clients: Any, receiver: Receiver, notifying: str
) -> None:
    gateway = running_gateway(config="admin: false\n" + notifying)
    await spend(gateway)
    await clients.eventually(lambda: len(receiver.got) == 2)
    assert gateway.control() == set()
    assert len(set(shares(receiver))) == 2
