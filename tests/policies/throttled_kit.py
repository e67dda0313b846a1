"""Gateways at which keys are guessed, one by one and at once."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from tidegate.config import Config
from tidegate.identity import Repository
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.store import Store
from tidegate.testing import Kit

OTHER = "192.0.2.7"
NO_PROXIES = CountedAddresses(TrustedProxies(()))


def config(url: str, **listen) -> Config:
    tenants = [
        {"name": "acme", "plan": "p", "keys": [{"name": "premium_user", "value": "premium_user"}]}
    ]
    services = [
        {
            "name": "test",
            "targets": [url],
            "routes": [{"name": "test", "paths": ["/api"]}, {"name": "open", "auth": []}],
        }
    ]
    return Config.model_validate(
        {
            "version": 1,
            "listen": listen,
            "plans": {"p": {}},
            "tenants": tenants,
            "services": services,
        }
    )


async def statuses(kit: Kit, count: int, key: str | None = "wrong", **options) -> list[int]:
    return [(await kit.get("/api/x", key=key, **options)).status for _ in range(count)]


def calls(commandstats: bytes, command: str) -> int:
    _, found, rest = commandstats.decode().partition(f"cmdstat_{command}:calls=")
    return int(rest.partition(",")[0]) if found else 0


async def at_once(kits: Sequence[Kit], keys: Iterable[str]) -> Counter[int]:
    """Every key at every kit in one moment: how often each status came back."""
    asked = [kit.get("/api/x", key=key) for key in keys for kit in kits]
    return Counter(answer.status for answer in await asyncio.gather(*asked))


async def look_ups(store: Store) -> int:
    return calls(await store.execute("INFO", "commandstats"), "hmget")


async def good_keys(kit: Kit, count: int) -> list[str]:
    repository = Repository(kit.gateway.config, kit.gateway.store)
    creating = [repository.create_key("acme", f"key{number}") for number in range(count)]
    return [created.key for created in await asyncio.gather(*creating)]
