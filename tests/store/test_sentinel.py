"""A store behind Sentinels: who is the primary, and what a fail-over costs. Real servers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import fleet
from tests.fleet import SERVICE, sentinel_of
from tests.fleet import Sentinels as SentinelServers
from tests.servers import Server
from tests.store.counting import Counting
from tidegate.config.schema import Redis
from tidegate.store import Connection, Store, StoreRefused, StoreUnavailable, open_store
from tidegate.store.address import Address, Place
from tidegate.store.pipeline import Pipeline
from tidegate.store.sentinel import Sentinels
from tidegate.store.subscription import SILENCE_MAX_S

Eventually = Callable[..., Awaitable[None]]
NOWHERE = Path("/nowhere")
HOT_PATH_S = 0.05


@asynccontextmanager
async def opened(url: str, wait_s: float = 5.0) -> AsyncIterator[Store]:
    store = await open_store(Redis(url=url, timeout=HOT_PATH_S), NOWHERE, wait_s=wait_s)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture(scope="module")
def shared_sentinels() -> Iterator[SentinelServers]:
    with fleet.sentinels() as servers:
        yield servers


@pytest.fixture
def steady_sentinels(shared_sentinels: SentinelServers) -> Iterator[SentinelServers]:
    """For tests in which nobody fails over: what they stop goes on after them."""
    yield shared_sentinels
    shared_sentinels.heal()


async def test_who_is_no_sentinel_or_knows_no_such_primary_is_named(
    steady_sentinels: SentinelServers, free_port: int
) -> None:
    port, primary = steady_sentinels.sentinels[0].port, steady_sentinels.primary.port
    with pytest.raises(StoreRefused, match=f"no primary named 'other': it knows {SERVICE}"):
        async with opened(f"redis+sentinel://127.0.0.1:{port}/other"):
            pass
    with pytest.raises(StoreRefused, match="is no Sentinel"):
        async with opened(f"redis+sentinel://127.0.0.1:{primary}/{SERVICE}"):
            pass
    with pytest.raises(StoreRefused, match="is a Sentinel, which holds nothing"):
        async with opened(f"redis://127.0.0.1:{port}"):
            pass
    with pytest.raises(StoreUnavailable) as caught:
        async with opened(f"redis+sentinel://127.0.0.1:{free_port}/{SERVICE}", 0.3):
            pass
    assert "None of the Sentinels answers (127.0.0.1:" in str(caught.value.detail)


async def test_one_sentinel_that_answers_is_enough_and_facts_tell_who_is_who(
    steady_sentinels: SentinelServers,
) -> None:
    for sentinel in steady_sentinels.sentinels[:2]:
        sentinel.kill()
    async with opened(steady_sentinels.url) as store:
        assert not store.is_cluster
        assert await store.execute("PING") == b"PONG"
        topology = (await store.describe()).topology
        port = steady_sentinels.servers[0].port
        assert f"Sentinel {SERVICE}: primary 127.0.0.1:{port}, 2 replicas" in topology


async def test_what_no_replica_has_is_not_durable(steady_sentinels: SentinelServers) -> None:
    """A fail-over would forget it, whatever the disk of the dead server remembers."""
    primary, *replicas = steady_sentinels.servers
    primary.client.config_set("appendfsync", "always")
    primary.client.config_set("appendonly", "yes")
    async with opened(steady_sentinels.url) as store:
        assert await store.wait_durable()
        for replica in replicas:
            replica.send(signal.SIGSTOP)
        assert not await store.wait_durable(timeout_s=0.2)
    primary.client.config_set("appendonly", "no")


async def test_who_is_named_must_call_himself_a_primary(free_port: int) -> None:
    """As for a moment in each fail-over, and for long where a Sentinel was set up wrong."""
    with Server.alone(free_port) as server, sentinel_of(server.port) as sentinel:
        server.client.execute_command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(StoreUnavailable) as caught:
            async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}", 0.3):
                pass
        assert "is named as the primary, but is none yet" in str(caught.value.detail)


async def test_a_switch_that_is_told_in_the_middle_of_connecting_counts(free_port: int) -> None:
    with Server.alone(free_port) as server, sentinel_of(server.port) as sentinel:
        address = Address.parse(f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}")
        sentinels = Sentinels(address)
        attempts = 0

        async def prepare(_: Pipeline) -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                sentinels._learned(Place("127.0.0.1", 1))

        connection = Connection(address, timeout_s=5, prepare=prepare, sentinels=sentinels)
        connection.start()
        await connection.wait_up(5)
        assert attempts == 2
        assert await connection.execute("PING") == b"PONG"
        await connection.aclose()


async def test_a_sentinel_is_given_the_password_only_if_it_asks(free_port: int) -> None:
    with Server.alone(free_port) as server, sentinel_of(server.port) as sentinel:
        server.client.config_set("requirepass", "s3cret")
        url = f"redis+sentinel://:s3cret@127.0.0.1:{sentinel.port}/{SERVICE}"
        async with opened(url) as store:
            assert await store.execute("PING", timeout_s=5) == b"PONG"
        sentinel.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">s3cret")
        async with opened(url) as store:
            assert await store.execute("PING", timeout_s=5) == b"PONG"
        with pytest.raises(StoreUnavailable) as caught:
            async with opened(url.replace("s3cret", "wr0ng"), 0.3):
                pass
        assert "WRONGPASS" in str(caught.value.detail)


async def test_copies_are_verified_again_after_the_sentinel_knew_the_name_no_longer(
    free_port: int, eventually: Eventually
) -> None:
    """As one does that came back without its file: a store that is refused meanwhile, not gone."""
    with Server.alone(free_port) as server, sentinel_of(server.port) as sentinel:
        async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}") as store:
            store.tracking.watch(b"tg:", lambda _: None)
            await eventually(lambda: store.tracking.is_live)
            (subscription,) = store.tracking._subscriptions.values()
            sentinel.client.execute_command("SENTINEL", "REMOVE", SERVICE)
            server.client.client_kill_filter(_type="normal", skipme=True)
            await eventually(lambda: isinstance(subscription._connection.failure, StoreRefused))
            await asyncio.sleep(SILENCE_MAX_S)
            assert not store.tracking.is_live
            sentinel.client.execute_command(
                "SENTINEL", "MONITOR", SERVICE, "127.0.0.1", server.port, 1
            )
            await eventually(lambda: store.is_up)
            await eventually(lambda: store.tracking.is_live)


async def test_who_answers_nonsense_is_asked_again(
    listening: Any, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a proxy, or a Sentinel of another make: named to who connects, logged once."""
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while said := await reader.read(2**16):
            if b"SENTINEL" in said:
                asked += 1
                writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n*0\r\n")
            else:
                writer.write(b"+OK\r\n" * said.count(b"*"))

    place = await listening(talk)
    sentinels = Sentinels(Address.parse(f"redis+sentinel://{place}/{SERVICE}"))
    with pytest.raises(StoreUnavailable) as caught:
        await sentinels.primary()
    assert f"{place}: what no Sentinel says (KeyError('config-epoch'))" in str(caught.value.detail)
    on_switch = asyncio.Event().set
    sentinels.join(on_switch)
    await eventually(lambda: asked > 3)
    assert not any(follower.done() for follower in sentinels._followers)
    assert len(caplog.records) == 1
    await sentinels.leave(on_switch)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_primary_that_dies_is_replaced(
    sentinel_servers: SentinelServers, eventually: Eventually, how: signal.Signals
) -> None:
    """Pain points 12 and 13: an outage is answered at once, and ends by itself."""
    async with opened(sentinel_servers.url) as store:
        told: list[bytes | None] = []
        store.tracking.watch(b"tg:", told.append)
        await eventually(lambda: store.tracking.is_live)
        async with Counting(store) as counting:
            await asyncio.sleep(0.3)
            sentinel_servers.primary.send(how)
            await eventually(lambda: not store.tracking.is_live)
            await eventually(lambda: store.tracking.is_live, 20)
            before = counting.counted
            await eventually(lambda: counting.counted > before + 500)
        figures = await counting.figures()
        assert figures.lost <= counting.clients  # what was not replicated yet
        assert figures.beyond <= figures.failed
        assert figures.slowest_s < figures.gap_s / 2  # nobody waits for the fail-over
        assert figures.gap_s < 20


async def test_a_primary_that_is_replaced_while_it_lives_is_left_at_once(
    sentinel_servers: SentinelServers, eventually: Eventually
) -> None:
    """Nothing is dropped by the servers until the Sentinel has demoted it: what is written there
    until then is lost, so that the promotion counts and not the end of the fail-over."""
    before = sentinel_servers.primary
    async with opened(sentinel_servers.url) as store:
        told: list[bytes | None] = []
        store.tracking.watch(b"tg:", told.append)
        await eventually(lambda: store.tracking.is_live)
        async with Counting(store):
            await asyncio.sleep(0.3)
            told.clear()
            sentinel_servers.sentinels[0].client.execute_command("SENTINEL FAILOVER", SERVICE)
            await eventually(
                lambda: store.facts is not None and str(before.port) not in store.facts.address
            )
            assert None in told
            leader = sentinel_servers.sentinels[0].client
            assert leader.sentinel_master(SERVICE)["port"] == before.port
            await eventually(lambda: store.tracking.is_live)
        await eventually(lambda: sentinel_servers.primary is not before)
        facts = await store.describe()
        assert str(before.port) not in facts.topology
