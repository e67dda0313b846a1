"""The limits of a request, compiled: everything about a decision that is known before it.

Key names, the script's arguments and the parts of header fields that never change are made once
for each caller on each form of route, so that a decision costs the gateway one small tuple and a
few `%` formats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final, NamedTuple

from tidegate.config.schema import Limit, Quota
from tidegate.rate_limiter.calendars import Boundaries, Calendar, calendar_of
from tidegate.rate_limiter.header_fields import (
    PolicyItem,
    line_format,
)
from tidegate.rate_limiter.numbers import (
    IDENTITY_BYTES,
    LENT,
    UNITS_MAX,
    capacity,
    described,
    identity,
    is_lease,
    is_lent,
    is_packed,
    is_plain,
    near_at,
    packed_limit,
    quota_unit,
    traits,
    units,
    window_s,
)
from tidegate.store import ScriptCall

KEY_PREFIX: Final = b"tg:limits:"
REQUESTS: Final = "requests"
"""The first unit of every subject."""

Costs = tuple[int, ...]
"""What a request costs in each of its subject's units; of most, `(1,)`: one request."""


class Whose(NamedTuple):
    """Whose requests, and on which route. Empty: of nobody in particular, or on any route."""

    tenant: str = ""
    key_id: str = ""
    plan: str = ""
    route: str = ""

    @property
    def is_known(self) -> bool:
        return self.tenant != ""


class Counter(NamedTuple):
    """A state (one key of the store) and the limits that are counted in it."""

    state: bytes
    limits: tuple[Limit, ...]
    is_outside: bool = False
    """Not in the hash slot that the other states of the request share."""
    whose: Whose = Whose()
    """Whose requests alone are counted there."""


class Violation(NamedTuple):
    """The limits that refuse: their names, and in words."""

    names: tuple[str, ...]
    words: str


NO_VIOLATION: Final = Violation((), "")


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Whose requests are counted, and by which limits: buckets and quotas in the order of their
    states, then sliding windows and leases."""

    limits: tuple[Limit, ...]
    capacities: tuple[int, ...]
    cost_max: int
    """The smallest capacity: a request that costs more is never admitted."""
    units: tuple[str, ...]
    """What the numbers of `costs` count."""
    unit_of: tuple[int, ...]
    """For each limit which of the costs it charges."""
    is_plain: bool
    """The smaller script decides."""
    replies_plainly: bool
    """One cost, none in the shadow, no lease: whichever script decides, its reply has no
    exceptions."""
    keys: tuple[bytes, ...]
    """Where it is counted: a key for each state, then one for each window and set of leases."""
    packed_limits: tuple[bytes, ...]
    """For each of `keys` its limits as the script reads them."""
    words: tuple[str, ...]
    """The limits in words for people."""
    shown: tuple[int, ...]
    """Which of the limits are in header fields: those that are not in the shadow."""
    line_formats: tuple[bytes, ...]
    """For each limit the field lines where it is the tightest; empty where none is shown."""
    lent_max: int
    """How many tokens workers may hold together; 0: they borrow none."""
    near_at: tuple[int, ...]
    """For each limit how much remaining is near, -1: it is not told; empty where none is."""
    is_told: bool
    """Of some limit more is told than yes and no: it is in the shadow, warns or notifies."""
    first_lease: int
    """Which of the limits is the first lease: they are the last."""
    leases: tuple[tuple[bytes, int], ...]
    """The sets of leases that a request enters, and how long it stays by itself, in µs."""
    counters: tuple[Counter, ...]
    """Where the limits count, in their order."""
    boundaries: Boundaries | None
    """Of the calendars of a time zone; None where there are none."""
    last: list[Any] = field(default_factory=lambda: [(), 0.0])
    """The figures of the store's last decision, and when it was there (`time.perf_counter`): what a
    worker goes on from while the store is away."""
    refusals: dict[Costs, tuple[float, Any]] = field(default_factory=dict)
    """By costs the last refusal, and until when it stands (`time.perf_counter`)."""
    parts: list["SlotPart"] = field(default_factory=list)
    """On a Cluster, where it counts in several hash slots: one for each, the tenant's the last."""
    settled: list["Subject"] = field(default_factory=list)
    """Itself for the larger script, once that was needed."""
    calls: dict[tuple[Any, ...], ScriptCall] = field(default_factory=dict)
    """The script's calls by costs, packed once: few, because costs are the configuration's."""
    violations: dict[tuple[bool, ...], Violation] = field(default_factory=dict)
    """By which of the limits refuse: few again, since most often it is the same one."""

    def capacity_of(self, unit: str) -> int | None:
        """Return the most that a request can cost in a unit; None where nothing refuses for it."""
        index = self.units.index(unit)
        counted = zip(self.limits, self.capacities, self.unit_of, strict=True)
        return min(
            (whole for limit, whole, at in counted if at == index and not limit.shadow),
            default=None,
        )

    def as_settled(self) -> "Subject":
        """Return it for the larger script, which settles."""
        if not self.settled:
            self.settled.append(compiled_subject(self.counters, self.units, may_be_plain=False))
        return self.settled[0]


class SlotPart(NamedTuple):
    """What of a subject lies in one hash slot."""

    subject: Subject
    positions: tuple[int, ...]
    """Which of the whole subject's limits these are."""
    is_outside: bool


def compiled_subject(
    counters: Iterable[Counter],
    cost_units: tuple[str, ...] = (REQUESTS,),
    *,
    may_be_plain: bool = True,
) -> Subject:
    """Compile what is counted. Names of limits must be distinct.

    A limit of a unit that is not among `cost_units` costs nothing here: it is not asked.
    """
    if len(cost_units) > UNITS_MAX:
        raise ValueError(f"a request costs at most {UNITS_MAX} units")
    ordered = _ordered(counters, frozenset(cost_units))
    limits = tuple(limit for counter in ordered for limit in counter.limits)
    plain = may_be_plain and all(map(is_plain, limits))
    packed, boundaries = _packed(ordered, None if plain else cost_units)
    capacities = tuple(map(capacity, limits))
    policies = [_policy_item(limit) for limit in limits if not limit.shadow]
    keys = tuple(map(_key_of, ordered))
    return Subject(
        limits=limits,
        capacities=capacities,
        cost_max=min(capacities, default=0),
        units=cost_units,
        unit_of=tuple(cost_units.index(limit.unit) for limit in limits),
        is_plain=plain,
        replies_plainly=not any(
            limit.shadow or is_lease(limit) or limit.unit != REQUESTS for limit in limits
        ),
        keys=keys,
        packed_limits=packed,
        words=tuple(map(described, limits)),
        shown=tuple(index for index, limit in enumerate(limits) if not limit.shadow),
        line_formats=tuple(line_format(whole, policies) for whole in capacities if policies),
        lent_max=min(capacities) // LENT if plain and limits and all(map(is_lent, limits)) else 0,
        near_at=tuple(map(near_at, limits)) if any(limit.warn_at for limit in limits) else (),
        is_told=any(map(_is_told, limits)),
        first_lease=sum(not is_lease(limit) for limit in limits),
        leases=tuple(
            (key, units(counter.limits[0]).emission)
            for key, counter in zip(keys, ordered, strict=True)
            if is_lease(counter.limits[0])
        ),
        counters=tuple(ordered),
        boundaries=boundaries,
    )


def _ordered(counters: Iterable[Counter], cost_units: frozenset[str]) -> list[Counter]:
    """Return what is asked in the order of the reply: strings, then windows, then leases."""
    strings: list[Counter] = []
    others: list[Counter] = []
    leases: list[Counter] = []
    for counter in counters:
        asked = [limit for limit in counter.limits if limit.unit in cost_units]
        if in_string := tuple(filter(is_packed, asked)):
            strings.append(counter._replace(limits=in_string))
        for limit in asked:
            if not is_packed(limit):
                (leases if is_lease(limit) else others).append(counter._replace(limits=(limit,)))
    return strings + others + leases


def _packed(
    ordered: Iterable[Counter], cost_units: tuple[str, ...] | None
) -> tuple[tuple[bytes, ...], Boundaries | None]:
    """Return what each key counts as the script reads it, and the boundaries of its calendars.

    Without `cost_units`, for the smaller script, which knows no traits.
    """
    calendars: dict[Calendar, int] = {}

    def packed(limit: Limit) -> bytes:
        calendar = calendar_of(limit) if isinstance(limit, Quota) else None
        number = None if calendar is None else calendars.setdefault(calendar, len(calendars))
        more = b"" if cost_units is None else traits(limit, cost_units.index(limit.unit))
        return packed_limit(limit, number) + more

    packed_limits = tuple(b"".join(map(packed, counter.limits)) for counter in ordered)
    return packed_limits, Boundaries(tuple(calendars)) if calendars else None


def _is_told(limit: Limit) -> bool:
    notifies = isinstance(limit, Quota) and bool(limit.notify)
    return limit.shadow or limit.warn_at is not None or notifies


def _key_of(counter: Counter) -> bytes:
    """Return the key of the state's string, or of the one limit that is counted beside it."""
    limit = counter.limits[0]
    if is_packed(limit):
        return counter.state
    kind = b"c" if is_lease(limit) else b"w"
    name = identity(limit).to_bytes(IDENTITY_BYTES).hex().encode()
    return b"%b:%b:%b" % (counter.state, kind, name)


def _policy_item(limit: Limit) -> PolicyItem:
    return PolicyItem(limit.name, capacity(limit), window_s(limit), quota_unit(limit))


def caller_counters(tenant: str, key_id: str, limits: tuple[Limit, ...]) -> tuple[Counter, ...]:
    """Return where the limits of a key of `tenant` count that are per key or per tenant."""
    return tuple(
        Counter(state, tuple(limit for limit in limits if limit.per == per))
        for per, state in (("key", key_state(tenant, key_id)), ("tenant", tenant_state(tenant)))
    )


def violation_of(subject: Subject, refuses: Sequence[bool]) -> Violation:
    """Return what is said of a refusal; `refuses` tells for each limit whether it does."""
    names = tuple(limit.name for limit in compress(subject.limits, refuses))
    words = ", ".join(compress(subject.words, refuses))
    return Violation(names, words)


def key_state(tenant: str, key_id: str) -> bytes:
    """Return the name of the state of one key's limits."""
    return tenant_states(tenant) + b"k:" + key_id.encode()


def tenant_state(tenant: str) -> bytes:
    """Return the name of the state of the limits that all keys of a tenant share."""
    return tenant_states(tenant) + b"t"


def tenant_states(tenant: str) -> bytes:
    """Return what the names of all states of a tenant begin with."""
    return KEY_PREFIX + b"{" + tenant.encode() + b"}:"
