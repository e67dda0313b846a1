"""Which gateways are alive: each process says so every few seconds, in the store, on its clock.

One sorted set of last words and one hash of what was said, changed together by one script, which
also drops whoever has been silent for too long. A process that ends well takes its word back; one
that is killed is forgotten ALIVE_S later. A word that cannot be given (the store is away) is given
at the next beat: nothing else waits for it. Each beat brings back how many nodes serve, which a
worker keeps for when it has to do with its part of the limits.
"""

import asyncio
import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final, Literal

from pydantic import SecretStr

from tidegate.config import Config
from tidegate.http import GatewayError
from tidegate.store import Script, Store

logger = logging.getLogger("tidegate.nodes")

Role = Literal["worker", "asgi", "control"]

BEAT_S: Final = 3.0
FIRST_BEAT_S: Final = 0.25
"""After the first, then twice as long each time: who starts together soon knows of each other."""
ALIVE_S: Final = 10
"""Room for two lost beats."""
TIMEOUT_S: Final = 2.0
NODES_MAX: Final = 10_000
"""A fleet of a hundred machines with a hundred workers."""

_BEATS: Final = b"tg:{nodes}:beats"
_WORDS: Final = b"tg:{nodes}:words"
_SERVING: Final = b"tg:{nodes}:serving"
"""The beats of those that serve requests."""

_BEAT: Final = Script.of(
    "nodes_beat",
    """
-- KEYS: beats, words, serving; ARGV: id, word (empty: it ends), seconds alive, NODES_MAX, 1: serves
-- reply: how many serve
local now = tonumber(redis.call('TIME')[1])
local silent = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
silent[#silent + 1] = ARGV[1]
for _, id in ipairs(silent) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end
if ARGV[2] ~= '' and redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  if ARGV[5] == '1' then
    redis.call('ZADD', KEYS[3], now, ARGV[1])
  end
  for _, key in ipairs(KEYS) do
    redis.call('EXPIRE', key, ARGV[3])
  end
end
return redis.call('ZCARD', KEYS[3])
""",
)

_ALIVE: Final = Script.of(
    "nodes_alive",
    """
-- KEYS: beats, words; ARGV: seconds alive
local now = tonumber(redis.call('TIME')[1])
local alive, reply = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1] + 1, '+inf'), {}
for _, id in ipairs(alive) do
  local word = redis.call('HGET', KEYS[2], id)
  if word then
    reply[#reply + 1] = word
  end
end
return reply
""",
)


@dataclass(frozen=True, slots=True)
class Node:
    """What a process says of itself."""

    id: str
    role: Role
    host: str
    pid: int
    version: str
    started_at: int
    """Seconds since 1970, on its own machine's clock."""
    config: str
    """Fingerprint: the same where the same configuration is in force."""

    @classmethod
    def here(cls, role: Role, version: str, config: Config) -> "Node":
        """Return this process as a node with an id of its own."""
        return cls(
            os.urandom(8).hex(),
            role,
            socket.gethostname(),
            os.getpid(),
            version,
            int(time.time()),
            fingerprint(config),
        )


@asynccontextmanager
async def announced(
    store: Store, node: Node, on_serving: Callable[[int], None] | None = None
) -> AsyncIterator[None]:
    """Say that `node` is alive for as long as the block runs; tell `on_serving` how many serve."""
    beating = asyncio.create_task(_beat_forever(store, node, on_serving), name="node beats")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])
        with suppress(GatewayError):
            await _beat(store, node, b"")


async def alive(store: Store) -> list[Node]:
    """Return the nodes that were heard of lately, by role and host. Raises StoreUnavailable."""
    words: list[bytes] = await store.run(_ALIVE, (_BEATS, _WORDS), (ALIVE_S,), TIMEOUT_S)
    nodes = [Node(**json.loads(word)) for word in words]
    return sorted(nodes, key=lambda node: (node.role, node.host, node.started_at, node.pid))


def fingerprint(config: Config) -> str:
    """Return the same few characters for the same configuration, and no secret with them.

    A key's value counts by its hash, so that nodes with another one differ. The stores' URLs do
    not count: machines may reach one store by different ways.
    """
    hashed = hashlib.sha256()
    for tenant in config.tenants:
        for key in tenant.keys:
            hashed.update(_hash_of(key.value))
    hashed.update(config.model_dump_json(exclude={"redis": True, "cache": {"url"}}).encode())
    return hashed.hexdigest()[:12]


def _hash_of(secret: SecretStr) -> bytes:
    return hashlib.sha256(secret.get_secret_value().encode()).digest()


async def _beat_forever(store: Store, node: Node, on_serving: Callable[[int], None] | None) -> None:
    word = json.dumps(asdict(node)).encode()
    pause_s = FIRST_BEAT_S
    while True:
        try:
            serving = await _beat(store, node, word)
            if on_serving is not None:
                on_serving(serving)
        except GatewayError as error:
            logger.debug("this node could not say that it is alive: %s", error)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, BEAT_S)


async def _beat(store: Store, node: Node, word: bytes) -> int:
    """Return how many nodes serve."""
    serves = int(node.role != "control")
    arguments = (node.id.encode(), word, ALIVE_S, NODES_MAX, serves)
    return int(await store.run(_BEAT, (_BEATS, _WORDS, _SERVING), arguments, TIMEOUT_S))
