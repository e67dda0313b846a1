"""What a fail-over costs, on real servers on loopback: `python -m bench.fail_over`.

Sixty clients count in the store, each a key of its own, while a primary is killed, stopped or
replaced by hand. A count that was told to a client and is not there afterwards is what a limit
would admit again; without decisions is the longest time in which a client had no success.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests import fleet
from tests.servers import Server
from tests.store.counting import Counting, Figures
from tidegate.config.schema import Redis
from tidegate.store import open_store

TIMEOUT_S = 0.05
BEFORE_S = 1.0
MARGIN_S = 4.0
"""Beyond what the servers take to notice."""
FIRST_KEY = "tg:count:0"


@dataclass(frozen=True)
class Case:
    words: str
    servers: Callable[[], AbstractContextManager[fleet.Cluster | fleet.Sentinels]]
    fault: Callable[[fleet.Cluster | fleet.Sentinels], object]
    notice_s: float


def cases() -> Iterator[Case]:
    for timeout_ms in (1000, 5000):
        cluster = partial(fleet.cluster, node_timeout_ms=timeout_ms)
        told = f"Cluster, cluster-node-timeout {timeout_ms / 1000:g} s"
        yield Case(f"{told}: kill -9", cluster, partial(_send, signal.SIGKILL), timeout_ms / 1000)
    yield Case(
        "the same at 1 s, cluster-require-full-coverage no",
        partial(fleet.cluster, needs_all_slots=False),
        partial(_send, signal.SIGKILL),
        1.0,
    )
    yield Case("Cluster, 1 s: frozen", fleet.cluster, partial(_send, signal.SIGSTOP), 1.0)
    yield Case("Cluster: CLUSTER FAILOVER", fleet.cluster, _by_hand, 0.0)
    for down_ms in (500, 5000):
        sentinels = partial(fleet.sentinels, down_after_ms=down_ms)
        told = f"Sentinel, down-after {down_ms / 1000:g} s"
        yield Case(f"{told}: kill -9", sentinels, partial(_send, signal.SIGKILL), down_ms / 1000)
    yield Case("Sentinel, 0.5 s: frozen", fleet.sentinels, partial(_send, signal.SIGSTOP), 1.0)
    yield Case("Sentinel: SENTINEL FAILOVER", fleet.sentinels, _by_hand, 1.0)


async def measured(case: Case, servers: fleet.Cluster | fleet.Sentinels) -> Figures:
    config = Redis(url=servers.url, timeout=TIMEOUT_S)
    store = await open_store(config, Path("/nowhere"), wait_s=20)
    try:
        async with Counting(store) as counting:
            await asyncio.sleep(BEFORE_S)
            await asyncio.to_thread(case.fault, servers)
            await asyncio.sleep(case.notice_s + MARGIN_S)
        return await counting.figures()
    finally:
        await store.aclose()


def main() -> None:
    print("| what happens | without decisions | counted | refused for it | lost | slowest answer |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in cases():
        with case.servers() as servers:
            found = asyncio.run(measured(case, servers))
        print(
            f"| {case.words} | {found.gap_s:.2f} s | {found.counted:,} | {found.failed:,} "
            f"| {found.lost:,} | {found.slowest_s * 1000:.0f} ms |"
        )
        sys.stdout.flush()


def _primary(servers: fleet.Cluster | fleet.Sentinels) -> Server:
    if isinstance(servers, fleet.Cluster):
        return servers.server_of(FIRST_KEY)
    return servers.primary


def _send(number: signal.Signals, servers: fleet.Cluster | fleet.Sentinels) -> None:
    _primary(servers).send(number)


def _by_hand(servers: fleet.Cluster | fleet.Sentinels) -> None:
    if isinstance(servers, fleet.Cluster):
        servers.replica_of(_primary(servers)).client.execute_command("CLUSTER FAILOVER")
    else:
        servers.sentinels[0].client.execute_command("SENTINEL FAILOVER", fleet.SERVICE)


if __name__ == "__main__":
    main()
