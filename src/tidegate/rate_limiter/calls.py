"""The store commands of the limits: what a question, a settlement, a renewal is on the wire.

A question that is asked again and again is packed once. Only two things change it: a lease has an
id of its own, and the boundaries of a calendar move on when its window ends.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tidegate.rate_limiter.lease import Lease
from tidegate.rate_limiter.limits import Costs, Subject
from tidegate.rate_limiter.numbers import COST_BYTES, COST_MAX, LEASE, TRAITS_SIZE
from tidegate.rate_limiter.scripts import DECIDE, DECIDE_ALL, RENEW
from tidegate.store import ScriptCall

CALLS_MAX: Final = 16
"""Packed calls kept for one subject: as many different costs as routes may name before it pays less
to remember them."""
RENEWED_MAX: Final = 500
"""Leases renewed by one call, about 1 ms of the store."""
SERVER_TIME: Final = b""
NO_LEASE: Final = b""
LOOK: Final = b"look"


def decide_call(subject: Subject, costs: Costs) -> ScriptCall:
    """Return the question about a request of `costs` that takes no lease."""
    calls = subject.calls
    if subject.boundaries is None:
        call = calls.get(costs)
        if call is None:
            script = DECIDE if subject.is_plain else DECIDE_ALL
            call = ScriptCall(script, subject.keys, arguments(subject, costs))
            if len(calls) < CALLS_MAX and not subject.leases:
                calls[costs] = call
        return call
    boundaries = _boundaries(subject, time.time_ns() // 1000)
    call = calls.get((costs, boundaries))
    if call is None:
        call = ScriptCall(
            DECIDE_ALL, subject.keys, arguments(subject, costs, boundaries=boundaries)
        )
        if len(calls) >= CALLS_MAX:
            calls.clear()  # those of earlier windows too
        calls[costs, boundaries] = call
    return call


def lease_call(subject: Subject, costs: Costs, lease: Lease) -> ScriptCall:
    """Return the question about a request of `costs` that takes `lease`."""
    return ScriptCall(DECIDE_ALL, subject.keys, arguments(subject, costs, lease=lease.identity))


def look_call(subject: Subject, costs: Costs, lease: Lease | None) -> ScriptCall:
    """Return the question what a request that is refused would meet: it spends nothing."""
    identity = NO_LEASE if lease is None else lease.identity
    return ScriptCall(
        DECIDE_ALL, subject.keys, arguments(subject, costs, lease=identity, is_look=True)
    )


def settle_call(subject: Subject, differences: Costs, age_us: int) -> ScriptCall | None:
    """Return what charges or gives back `differences` of what was charged `age_us` ago at most.

    None where none of the subject's limits counts what differs.
    """
    changed = {unit for unit, difference in enumerate(differences) if difference}
    concerned = [
        (key, packed)
        for key, packed in zip(subject.keys, subject.packed_limits, strict=True)
        if not changed.isdisjoint(_units_in(packed))
    ]
    if not concerned:
        return None
    boundaries = _boundaries(subject, time.time_ns() // 1000)
    return ScriptCall(
        DECIDE_ALL,
        [key for key, _ in concerned],
        (
            _signed(differences),
            SERVER_TIME,
            *(packed for _, packed in concerned),
            NO_LEASE,
            boundaries,
            b"%d" % age_us,
        ),
    )


def renew_calls(leases: Iterable[Lease]) -> Iterator[ScriptCall]:
    """Yield what renews `leases`, those of one key together."""
    entered: defaultdict[tuple[bytes, int], list[bytes]] = defaultdict(list)
    for lease in leases:
        for place in lease.places:
            entered[place].append(lease.identity)
    for (key, lasts_us), identities in entered.items():
        for start in range(0, len(identities), RENEWED_MAX):
            some = identities[start : start + RENEWED_MAX]
            yield ScriptCall(RENEW, (key,), (lasts_us, SERVER_TIME, *some))


def arguments(
    subject: Subject,
    costs: Costs,
    now: bytes = SERVER_TIME,
    *,
    lease: bytes = NO_LEASE,
    boundaries: bytes | None = None,
    age: bytes = b"",
    is_look: bool = False,
) -> Sequence[bytes]:
    """Return the script's arguments. `now` (µs since 1970) is for tests only; 0 asks only."""
    if min(costs) < 0 and not age:
        raise ValueError("a cost gives no tokens back: it is at least 0")
    if subject.is_plain:
        return (b"%d" % costs[0], now, *subject.packed_limits)
    if boundaries is None:
        boundaries = _boundaries(subject, int(now) if now else time.time_ns() // 1000)
    more = LOOK if is_look else age
    return (_signed(costs), now, *subject.packed_limits, lease, boundaries, more)


def _boundaries(subject: Subject, now: int) -> bytes:
    return b"" if subject.boundaries is None else subject.boundaries.packed(now)


def _signed(costs: Costs) -> bytes:
    return b"".join(
        max(-COST_MAX, min(cost, COST_MAX)).to_bytes(COST_BYTES, signed=True) for cost in costs
    )


def _units_in(packed: bytes) -> set[int]:
    """Return the units of a key's limits, in the form that has traits; a lease has none."""
    traits = packed[TRAITS_SIZE - 1 :: TRAITS_SIZE]
    return {trait % 16 for trait in traits if not trait & LEASE}
