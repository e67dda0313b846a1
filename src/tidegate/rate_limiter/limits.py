"""The limits of a request, compiled: everything about a decision that is known before it.

Key names, the script's arguments and the parts of header fields that never change are made once
for each caller on each form of route, so that a decision costs the gateway one small tuple and a
few `%` formats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import compress
from math import ceil
from typing import Any, Final, NamedTuple

from tidegate.config.schema import Limit, Quota
from tidegate.http.headers import HeaderField
from tidegate.rate_limiter.header_fields import limit_field, policy_field, service_limit_format
from tidegate.rate_limiter.units import Kind, Units, bucket_units
from tidegate.store import ScriptCall

KEY_PREFIX: Final = b"tg:limits:"
IDENTITY_BYTES: Final = 6
SERVER_TIME: Final = b""
REQUESTS: Final = "requests"
"""The first unit of every subject."""


Costs = tuple[int, ...]
"""What a request costs in each of its subject's units; of most, `(1,)`: one request."""


class Counter(NamedTuple):
    """A state (one key of the store) and the limits that are counted in it."""

    state: bytes
    limits: tuple[Limit, ...]
    is_outside: bool = False
    """Not in the hash slot that the other states of the request share."""


class Violation(NamedTuple):
    """The limits that refuse: their names, and in words."""

    names: tuple[str, ...]
    words: str


NO_VIOLATION: Final = Violation((), "")


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Whose requests are counted, and by which limits, in the order of their states."""

    limits: tuple[Limit, ...]
    capacities: tuple[int, ...]
    cost_max: int
    """The smallest capacity: a request that costs more is never admitted."""
    units: tuple[str, ...]
    """What the numbers of `costs` count."""
    keys: tuple[bytes, ...]
    """The states in the store."""
    packed_limits: tuple[bytes, ...]
    """For each of `keys` its limits as the script reads them."""
    words: tuple[str, ...]
    """The limits in words for people."""
    limit_fields: tuple[HeaderField, ...]
    policy_field: HeaderField
    service_limit_format: bytes
    counters: tuple[Counter, ...]
    """Where the limits count, in their order."""
    last: list[Any] = field(default_factory=lambda: [(), 0.0])
    """The figures of the store's last decision, and when it was there (`time.perf_counter`): what a
    worker goes on from while the store is away."""
    calls: dict[Costs, ScriptCall] = field(default_factory=dict)
    """The script's calls by costs, packed once: few, because costs are the configuration's."""
    violations: dict[tuple[bool, ...], Violation] = field(default_factory=dict)
    """By which of the limits refuse: few again, since most often it is the same one."""

    def arguments(self, costs: Costs, now: bytes = SERVER_TIME) -> Sequence[bytes]:
        """Return the script's arguments. `now` (µs since 1970) is for tests only; 0 asks only."""
        (cost,) = costs
        if cost < 0:
            raise ValueError("a cost gives no tokens back: it is at least 0")
        return (b"%d" % cost, now, *self.packed_limits)


def compiled_subject(counters: Iterable[Counter], units: tuple[str, ...] = (REQUESTS,)) -> Subject:
    """Compile what is counted. Names of limits must be distinct."""
    counted = [counter for counter in counters if counter.limits]
    limits = tuple(limit for counter in counted for limit in counter.limits)
    capacities = tuple(map(capacity, limits))
    names = [limit.name for limit in limits]
    return Subject(
        limits=limits,
        capacities=capacities,
        cost_max=min(capacities, default=0),
        units=units,
        keys=tuple(counter.state for counter in counted),
        packed_limits=tuple(b"".join(map(packed_limit, counter.limits)) for counter in counted),
        words=tuple(map(described, limits)),
        limit_fields=tuple(map(limit_field, capacities)),
        policy_field=policy_field(list(zip(names, capacities, map(window_s, limits), strict=True))),
        service_limit_format=service_limit_format(names),
        counters=tuple(counted),
    )


def caller_counters(tenant: str, key_id: str, limits: tuple[Limit, ...]) -> tuple[Counter, ...]:
    """Return where the limits of a key of `tenant` count that are per key or per tenant."""
    return tuple(
        Counter(state, tuple(limit for limit in limits if limit.per == per))
        for per, state in (("key", key_state(tenant, key_id)), ("tenant", tenant_state(tenant)))
    )


def violation_of(subject: Subject, refuses: tuple[bool, ...]) -> Violation:
    """Return what is said of a refusal; `refuses` tells for each limit whether it does."""
    names = tuple(limit.name for limit in compress(subject.limits, refuses))
    words = ", ".join(compress(subject.words, refuses))
    return Violation(names, words)


def described(limit: Limit) -> str:
    """Return the limit in words for people."""
    if isinstance(limit, Quota):
        return f'"{limit.name}" ({limit.quota} per {limit.per})'
    return f'"{limit.name}" ({limit.rate}, burst {limit.burst}, per {limit.per})'


def key_state(tenant: str, key_id: str) -> bytes:
    """Return the name of the state of one key's limits."""
    return tenant_states(tenant) + b"k:" + key_id.encode()


def tenant_state(tenant: str) -> bytes:
    """Return the name of the state of the limits that all keys of a tenant share."""
    return tenant_states(tenant) + b"t"


def tenant_states(tenant: str) -> bytes:
    """Return what the names of all states of a tenant begin with."""
    return KEY_PREFIX + b"{" + tenant.encode() + b"}:"


def capacity(limit: Limit) -> int:
    """Return the most that can ever be spent at once."""
    return limit.quota.count if isinstance(limit, Quota) else limit.burst


def window_s(limit: Limit) -> int | None:
    """Return the seconds in which the limit renews itself; None for months, which differ."""
    if isinstance(limit, Quota):
        return None if limit.quota.period == "month" else limit.quota.period_s
    return ceil(limit.burst * limit.rate.period_s / limit.rate.count)


def units(limit: Limit) -> Units:
    """Return the numbers the script counts in; a quota's rate is its period, a month 0."""
    if isinstance(limit, Quota):
        return Units(Kind.QUOTA, window_s(limit) or 0, 1)
    return bucket_units(limit.rate, limit.burst)


def packed_limit(limit: Limit) -> bytes:
    """Return the limit as the script reads it: identity, rate, emission, capacity."""
    kind, rate, emission = units(limit)
    digest = int.from_bytes(blake2b(limit.name.encode(), digest_size=IDENTITY_BYTES).digest())
    identity = digest // 2 * 2 + kind
    return b"".join(
        number.to_bytes(size)
        for number, size in (
            (identity, IDENTITY_BYTES),
            (rate, 4),
            (emission, 7),
            (capacity(limit), 4),
        )
    )
