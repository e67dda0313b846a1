"""How an outage ends for a worker: what it spent by itself is told, then again when all is calm."""

import asyncio
from collections.abc import Callable

import pytest

from tidegate.config.limits import TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Limiter
from tidegate.rate_limiter import degraded as degraded_module
from tidegate.store import Store


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_was_decided_here_after_the_settling_is_settled_when_it_is_calm(
    limit_stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that answers some in time and others not is up all the while."""
    monkeypatch.setattr(degraded_module, "CALM_S", 0.3)
    limiter = Limiter(limit_stores[0])
    degraded = limiter.degraded
    steady = TokenBucket(name="steady", rate=parse_rate("1/h"), burst=10)
    subject = limiter.subject([Counter(b"tg:limits:{acme}:k:k", (steady,))])

    async def left() -> int:
        return (await limiter.states(subject))[0].remaining

    async def spend(cost: int) -> None:
        decision = degraded.decision(subject, (cost,), "local", "late")
        assert decision is not None
        assert decision.allowed

    await spend(3)
    await until(lambda: degraded._settled_at > 0)
    assert await left() == 7
    await spend(2)
    await asyncio.sleep(5 * degraded_module.LOOK_S)
    assert await left() == 7
    await until(lambda: degraded._looking is None)
    assert await left() == 5
