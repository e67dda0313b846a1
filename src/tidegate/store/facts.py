"""What kind of store this is: asked once per link, decided here, told by `doctor`.

The one rule with teeth: a store that may evict keys without expiry of their own would free limits
and forget keys (`maxmemory-policy allkeys-*`), so it is refused. What a managed store will not tell
becomes a warning, never a refusal.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tidegate.store.errors import CommandFailed, StoreRefused

Ask = Callable[..., asyncio.Future[Any]]
"""`execute` of a connection or of one link."""
ASK_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class StoreFacts:
    product: str
    """`valkey` or `redis`."""
    version: str
    address: str
    is_embedded: bool
    has_waitaof: bool
    is_aof_on: bool
    fsync: str
    """`always`, `everysec`, `no`, or empty: the store does not say."""
    maxmemory_policy: str
    """Empty: the store does not say."""
    warnings: tuple[str, ...]
    topology: str = ""
    """Who is who, where there are several servers: as `doctor` tells it."""


async def learn(
    ask: Ask, address: str, *, is_embedded: bool = False, is_cluster: bool = False
) -> StoreFacts:
    """Ask a server what it is; raise StoreRefused if it may not be used."""
    replies = [
        ask(*command, timeout_s=ASK_TIMEOUT_S)
        for command in (
            ("INFO", "server"),
            ("INFO", "memory"),
            ("INFO", "persistence"),
            ("CONFIG", "GET", "appendfsync"),
            ("COMMAND", "INFO", "WAITAOF"),
        )
    ]
    answers = [await _answer(reply) for reply in replies]
    server, memory, persistence = (info_fields(answer) for answer in answers[:3])
    mode = server.get("server_mode") or server.get("redis_mode", "")  # Valkey's name, Redis's
    _check_mode(mode, address, is_cluster=is_cluster)
    policy = memory.get("maxmemory_policy", "")
    if policy.startswith("allkeys-"):
        raise StoreRefused(
            f"The store at {address} has maxmemory-policy {policy}: it would evict limits and keys "
            "when memory runs short. Set maxmemory-policy to noeviction (or a volatile-* policy)."
        )
    fsync = answers[3][1].decode() if answers[3] else ""
    is_aof_on = persistence.get("aof_enabled") == "1"
    has_waitaof = bool(answers[4]) and bool(answers[4][0])
    return StoreFacts(
        product="valkey" if "valkey_version" in server else "redis",
        version=server.get("valkey_version") or server.get("redis_version", ""),
        address=address,
        is_embedded=is_embedded,
        has_waitaof=has_waitaof,
        is_aof_on=is_aof_on,
        fsync=fsync,
        maxmemory_policy=policy,
        warnings=_warnings(policy, is_aof_on, fsync, has_waitaof),
    )


def together(servers: Sequence[StoreFacts], address: str, topology: str) -> StoreFacts:
    """Return what is true of all servers of a Cluster, and the warnings about any."""
    first = servers[0]
    versions = sorted({server.version for server in servers})
    policies = sorted({server.maxmemory_policy for server in servers})
    fsyncs = {server.fsync for server in servers}
    return replace(
        first,
        version=", ".join(versions),
        address=address,
        has_waitaof=all(server.has_waitaof for server in servers),
        is_aof_on=all(server.is_aof_on for server in servers),
        fsync=first.fsync if len(fsyncs) == 1 else "",
        maxmemory_policy=", ".join(policies),
        warnings=tuple(dict.fromkeys(text for server in servers for text in server.warnings)),
        topology=topology,
    )


def _check_mode(mode: str, address: str, *, is_cluster: bool) -> None:
    """Refuse what the URL calls something else than it is."""
    if mode == "sentinel":
        raise StoreRefused(
            f"{address} is a Sentinel, which holds nothing: write redis+sentinel://HOST:PORT/NAME, "
            "NAME being what it calls the primary"
        )
    if mode == "cluster" and not is_cluster:
        raise StoreRefused(
            f"{address} is a node of a Cluster, which serves a part of the keys only: write "
            "redis+cluster:// for it"
        )


def _warnings(policy: str, is_aof_on: bool, fsync: str, has_waitaof: bool) -> tuple[str, ...]:
    found = []
    if not policy:
        found.append(
            "The store does not tell its maxmemory-policy: see to it that it is not allkeys-*, "
            "which would evict limits and keys"
        )
    elif policy.startswith("volatile-"):
        found.append(
            f"maxmemory-policy is {policy}: limits expire by themselves, so that a full store may "
            "evict them early and admit more than the plan says, and nothing is cached in it; "
            "noeviction is exact"
        )
    if not is_aof_on:
        found.append("appendonly is off: keys and limits are lost when the store restarts")
    elif not has_waitaof and fsync != "always":
        found.append(
            "The store has no WAITAOF (Valkey and Redis 7.2 have it): a key just created may be "
            "lost if the power fails within a second"
        )
    return tuple(found)


async def _answer(reply: asyncio.Future[Any]) -> Any:
    """Return a reply, or None where the store forbids or does not know the command."""
    try:
        return await reply
    except CommandFailed:
        return None


def info_fields(answer: bytes | None) -> dict[str, str]:
    """Return the `name:value` lines of INFO."""
    lines = (answer or b"").decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
