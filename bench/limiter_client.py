"""One process that makes decisions as fast as it can: 32 callers, each waiting for its own.

    python -m bench.limiter_client NAME STORE_PORT STORE_PID SECONDS

Prints one line of JSON. Runs in the environment of the library that NAME says, so that nothing but
the standard library is imported before the library itself. Every limiter is asked as its own
documentation has it, on asyncio (uvloop), with a limit that never refuses.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bench.processes import cpu_us

CALLERS: Final = 32
WARM_UP_S: Final = 0.3
COUNT: Final = 1_000_000
"""Allowed in a minute: out of reach of any of them in a round."""

Ask = Callable[[], Awaitable[Any]]
"""Decides once; what comes out is true if it admits."""


async def tidegate(port: int, *limits: Any) -> Ask:
    return _exact(*await _tidegate(port, *limits))


def tidegate_on(store: Any) -> Ask:
    """Ask for one bucket, by a store that is open."""
    return _exact(*_compiled(store, _bucket()))


async def _tidegate(port: int, *limits: Any) -> tuple[Any, Any]:
    from pathlib import Path

    from tidegate.config.schema import Redis
    from tidegate.store import open_store

    settings = Redis(url=f"redis://127.0.0.1:{port}", timeout=5.0)
    return _compiled(await open_store(settings, Path()), *limits)


def _compiled(store: Any, *limits: Any) -> tuple[Any, Any]:
    from tidegate.rate_limiter import Limiter
    from tidegate.rate_limiter.limits import caller_counters

    limiter = Limiter(store)
    return limiter, limiter.subject(caller_counters("bench", "key", limits))


def _exact(limiter: Any, subject: Any) -> Ask:
    costs = (1,)

    async def ask() -> bool:
        decision = limiter.decision(subject, costs, await limiter.ask(subject, costs))
        return bool(decision.allowed)

    return ask


async def tidegate_bucket(port: int) -> Ask:
    return await tidegate(port, _bucket())


async def tidegate_leased(port: int) -> Ask:
    from tidegate.rate_limiter.borrowing import Borrower

    limit = _bucket().model_copy(update={"precision": "leased"})
    limiter, subject = await _tidegate(port, limit)
    borrower = Borrower(limiter, lambda: 1)
    costs = (1,)

    async def ask() -> bool:
        decision = borrower.take(subject, costs, time.perf_counter())
        if decision is None:
            decision = limiter.decision(subject, costs, await limiter.ask(subject, costs))
        return decision.allowed

    return ask


async def tidegate_window(port: int) -> Ask:
    from tidegate.config.limits import SlidingWindow
    from tidegate.config.units import parse_rate

    rate = parse_rate(f"{COUNT}/m")
    return await tidegate(port, SlidingWindow(name="window", rate=rate, algorithm="sliding-window"))


async def tidegate_two(port: int) -> Ask:
    from tidegate.config.schema import Quota
    from tidegate.config.units import parse_rate

    quota = Quota(name="daily", quota=parse_rate("1000000000/day"), per="tenant")
    return await tidegate(port, _bucket(), quota)


def _bucket() -> Any:
    from tidegate.config.schema import TokenBucket
    from tidegate.config.units import parse_rate

    return TokenBucket(name="steady", rate=parse_rate(f"{COUNT}/m"), burst=COUNT)


async def limits_fixed(port: int) -> Ask:
    from limits.aio.strategies import FixedWindowRateLimiter

    return _limits(FixedWindowRateLimiter, port)


async def limits_moving(port: int) -> Ask:
    from limits.aio.strategies import MovingWindowRateLimiter

    return _limits(MovingWindowRateLimiter, port)


def _limits(strategy: Any, port: int) -> Ask:
    from limits import RateLimitItemPerMinute
    from limits.storage import storage_from_string

    url = f"async+redis://127.0.0.1:{port}"
    limiter = strategy(storage_from_string(url, implementation="redispy"))
    item = RateLimitItemPerMinute(COUNT)
    return lambda: limiter.hit(item, "bench", "key")


async def throttled_bucket(port: int) -> Ask:
    return _throttled("token_bucket", port)


async def throttled_gcra(port: int) -> Ask:
    return _throttled("gcra", port)


def _throttled(algorithm: str, port: int) -> Ask:
    from throttled.asyncio import Throttled, rate_limiter, store

    throttle = Throttled(
        using=algorithm,
        quota=rate_limiter.per_min(COUNT, burst=COUNT),
        store=store.RedisStore(server=f"redis://127.0.0.1:{port}/0"),
    )

    async def ask() -> bool:
        return not (await throttle.limit("bench:key")).limited

    return ask


async def pyrate(port: int) -> Ask:
    from pyrate_limiter import Duration, Limiter, Rate, RedisBucket
    from redis.asyncio import ConnectionPool, Redis

    client = Redis(connection_pool=ConnectionPool.from_url(f"redis://127.0.0.1:{port}"))
    bucket = await RedisBucket.init([Rate(COUNT, Duration.MINUTE)], client, "bench:key")
    limiter = Limiter(bucket)
    return lambda: limiter.try_acquire_async("key", blocking=False)


OURS: Final[dict[str, Callable[[int], Awaitable[Ask]]]] = {
    "tidegate": tidegate_bucket,
    "tidegate-window": tidegate_window,
    "tidegate-two": tidegate_two,
    "tidegate-leased": tidegate_leased,
}
OTHERS: Final[dict[str, Callable[[int], Awaitable[Ask]]]] = {
    "limits-fixed": limits_fixed,
    "limits-moving": limits_moving,
    "throttled-bucket": throttled_bucket,
    "throttled-gcra": throttled_gcra,
    "pyrate": pyrate,
}


async def measured(ask: Ask, store_pid: int, seconds: float) -> dict[str, float]:
    """Return decisions, seconds, and what they cost this process and the store, in CPU µs."""
    counts = {"decisions": 0, "refused": 0}
    until = 0.0

    async def caller() -> None:
        while time.perf_counter() < until:
            if not await ask():
                counts["refused"] += 1
            counts["decisions"] += 1

    async def callers(duration_s: float) -> None:
        nonlocal until
        until = time.perf_counter() + duration_s
        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    await callers(WARM_UP_S)
    counts.update(decisions=0, refused=0)
    own, store, started = time.process_time(), cpu_us(store_pid), time.perf_counter()
    await callers(seconds)
    elapsed = time.perf_counter() - started
    return {
        **counts,
        "seconds": elapsed,
        "client_us": (time.process_time() - own) * 1e6,
        "store_us": cpu_us(store_pid) - store,
    }


async def main(name: str, port: int, store_pid: int, seconds: float) -> None:
    ask = await (OURS | OTHERS)[name](port)
    sys.stdout.write(json.dumps(await measured(ask, store_pid, seconds)) + "\n")


if __name__ == "__main__":
    import uvloop

    name, port, store_pid, seconds = sys.argv[1:]
    uvloop.run(main(name, int(port), int(store_pid), float(seconds)))
