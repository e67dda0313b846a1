"""`Tidegate-Debug`: an answer to an admin says how it came about, in a field of its own.

A request asks with `Tidegate-Debug: 1` and proves itself with the admin token in
`Tidegate-Debug-Token`. To anybody else the answer is as always: that a token was wrong is not told.
Neither field ever goes upstream (see policies/forward.py).
"""

import hmac
import json
from time import perf_counter
from typing import Any, Final

from pydantic import SecretStr

from tidegate.gateway.snapshot import CompiledRoute
from tidegate.http import HeaderField
from tidegate.policies import Context
from tidegate.telemetry import parts_of

FIELD: Final = b"tidegate-debug"


def may_debug(presented: bytes, token: SecretStr | None) -> bool:
    """Whether `presented` is the admin's token; never where there is none."""
    if token is None:
        return False
    return hmac.compare_digest(presented, token.get_secret_value().encode())


def debug_field(
    compiled: CompiledRoute, context: Context, *, source: str, trip_s: float
) -> HeaderField:
    """Return the field for an answer that is there now. `trip_s`: the store's last trip."""
    caller, decision = context.caller, context.decision
    told: dict[str, Any] = {
        "service": compiled.service.name,
        "route": compiled.route.name,
        "chain": [name for name, _ in compiled.policies],
        "source": source,
        "caller": None
        if caller is None
        else {"tenant": caller.tenant, "plan": caller.plan, "key_id": caller.key_id},
        "cost": None if context.counted is None else context.counted[1][0],
        "limits": [
            {"name": s.name, "capacity": s.capacity, "remaining": s.remaining, "reset_s": s.reset_s}
            for s in (decision.states if decision is not None else ())
        ],
        "cache": {"verdict": context.cache_status, "detail": context.cache_detail},
        "target": context.target,
        "timings_ms": _timings_ms(context, trip_s),
    }
    # ASCII, since it is a field's value; names are the configuration's, and short.
    return FIELD, json.dumps(told, separators=(",", ":")).encode("ascii")


def _timings_ms(context: Context, trip_s: float) -> dict[str, float]:
    now = perf_counter()
    store_s, upstream_s = parts_of(context, now, trip_s)
    total_s = now - context.started_at
    parts = {
        "total": total_s,
        "gateway": total_s - store_s - upstream_s,
        "store": store_s,
        "upstream": upstream_s,
    }
    return {part: round(seconds * 1e3, 3) for part, seconds in parts.items()}
