"""What the policies of all routes are made from, put together for one worker's store."""

from pathlib import Path

from tidegate.cache import Cache
from tidegate.config import Config
from tidegate.gateway.snapshot import largest_body_bytes
from tidegate.identity import KeyResolver
from tidegate.policies import AuthThrottle, LimitSignals, Parts, Subjects
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses
from tidegate.rate_limiter import Limiter
from tidegate.rate_limiter.borrowing import Borrower
from tidegate.rate_limiter.lease_keeper import LeaseKeeper
from tidegate.store import Store
from tidegate.webhooks import Notices, Outbox


def parts_of(config: Config, store: Store, cache: Cache | None, directory: Path) -> Parts:
    """`directory` is where relative paths of the configuration start."""
    listen, limiter = config.listen, Limiter(store, config.retry_jitter)
    rate, degraded = listen.auth_failures, limiter.degraded
    addresses = CountedAddresses(TrustedProxies(listen.trusted_proxies))
    return Parts(
        listen,
        KeyResolver(config, store),
        limiter,
        Borrower(limiter, lambda: degraded.workers if degraded.knows_workers else 0),
        LeaseKeeper(limiter),
        Subjects(limiter, addresses, config.limits),
        LimitSignals(_notices(config, store)),
        largest_body_bytes(config),
        directory,
        plans=config.plans,
        throttle=None if rate is None else AuthThrottle(rate, limiter, addresses),
        cache=cache,
    )


def _notices(config: Config, store: Store) -> Notices | None:
    webhooks = config.webhooks
    if webhooks is None:
        return None
    return Notices(Outbox(store, webhooks.url, webhooks.waiting))
