"""Every test of the limits that asks for `server`, `decide` or `limit_stores` runs on both servers:
the embedded Valkey and a real Redis."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tidegate.config.schema import Redis
from tidegate.rate_limiter import Costs, Subject
from tidegate.rate_limiter.calls import arguments
from tidegate.rate_limiter.scripts import DECIDE, DECIDE_ALL
from tidegate.store import EmbeddedServer, Store, open_store

SECOND_US = 10**6


class Reply(list[Any]):
    """The script's reply, less how long a plain refusal stands: that is `wait_us`."""

    wait_us: int | None = None

    @classmethod
    def of(cls, given: list[Any], subject: Subject, cost: int) -> "Reply":
        reply = cls(given)
        if subject.is_plain and not reply[0] and cost:
            reply.wait_us = reply.pop()
            left, seconds = reply[1::2], reply[2::2]
            longest = max(s for s, each in zip(seconds, left, strict=True) if each < cost)
            assert longest == -(-reply.wait_us // SECOND_US)
        return reply


Decide = Callable[..., Reply]


@pytest.fixture(scope="session", params=["valkey", "redis"])
def limits_url(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis_server"))
    directory: Path = request.getfixturevalue("valkey_dir")
    url = f"unix://{EmbeddedServer(directory).socket_path}"
    retry = Retry(ConstantBackoff(0.01), retries=1000)
    with redis.Redis.from_url(url, retry=retry, retry_on_error=[redis.ConnectionError]) as client:
        client.ping()
    return url


@pytest.fixture
def server(limits_url: str) -> Iterator[redis.Redis]:
    """A blocking client to an empty server."""
    with redis.Redis.from_url(limits_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def decide(server: redis.Redis) -> Decide:
    """The script, called with a time in µs of the test's choice; None: the server's."""
    plain, full = (server.script_load(script.source) for script in (DECIDE, DECIDE_ALL))

    def ask(subject: Subject, cost: int | Costs, now: int | None = None, **more: bytes) -> Reply:
        costs = (cost,) if isinstance(cost, int) else cost
        given = arguments(subject, costs, b"" if now is None else b"%d" % now, **more)
        sha = plain if subject.is_plain else full
        reply: Any = server.evalsha(sha, len(subject.keys), *subject.keys, *given)
        return Reply.of(reply, subject, costs[0])

    return ask


@pytest.fixture
async def limit_stores(
    server: redis.Redis, limits_url: str, tmp_path: Path
) -> AsyncIterator[list[Store]]:
    """Two stores, which are two pipelined connections, to one empty server."""
    stores = [await open_store(Redis(url=limits_url, timeout=5.0), tmp_path) for _ in range(2)]
    yield stores
    for store in stores:
        await store.aclose()
