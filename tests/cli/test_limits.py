"""`tidegate limits reset`, by the admin API and straight on the store."""

from pathlib import Path
from typing import Any

from tidegate.config import Redis, load
from tidegate.identity import KeyResolver
from tidegate.rate_limiter import Limiter, caller_counters
from tidegate.store import open_store


async def spend(config: Path, data_dir: Path, key: str) -> int:
    """Spend until refused; return how often it was admitted."""
    loaded = load(config)
    store = await open_store(Redis(timeout=5.0), data_dir)
    try:
        caller = await KeyResolver(loaded, store).resolve(key.encode())
        limiter = Limiter(store)
        subject = limiter.subject(caller_counters(caller.tenant, caller.key_id, caller.own.plan))
        admitted = 0
        while limiter.decision(subject, (1,), await limiter.ask(subject, (1,))).allowed:
            admitted += 1
        return admitted
    finally:
        await store.aclose()


def test_a_reset_tenant_has_its_whole_burst_again(operated: Any) -> None:
    import asyncio

    def spent() -> int:
        return asyncio.run(spend(operated.config, operated.data_dir, operated.tenant))

    assert spent() >= 10
    assert spent() <= 2
    done = operated.run("limits", "reset", "--tenant", operated.tenant, "--json")
    assert done.json == {"tenant": operated.tenant, "key": None, "states": 1}
    assert spent() >= 10
    done = operated.run("limits", "reset", "-t", operated.tenant, "--key", "in_file")
    assert done.out == (
        f"Reset the limits of key in_file of {operated.tenant}: "
        "what it spends from alone is full again.\n"
    )
    assert spent() >= 10
    done = operated.run("limits", "reset", "-t", operated.tenant)
    assert done.out == (
        f"Reset the limits of tenant {operated.tenant}: all buckets and quotas are full again.\n"
    )
    done = operated.run("limits", "reset", "-t", operated.tenant)
    assert done.out == f"The limits of tenant {operated.tenant} are full already.\n"


def test_an_unknown_tenant_or_key_is_an_error(operated: Any) -> None:
    unknown = operated.run("limits", "reset", "--tenant", "nobody")
    assert unknown.code == 1
    assert unknown.err.startswith("Error: There is no tenant nobody: there ")
    unknown = operated.run("limits", "reset", "--tenant", operated.tenant, "--key", "none")
    assert unknown.code == 1
    assert "has no key none: see `tidegate keys list`" in unknown.err
