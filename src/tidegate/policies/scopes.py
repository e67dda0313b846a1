"""Where a limit counts: whom it was said for and what it is counted by name one state of the store.

A limit counts together all whom it was said for: what a plan says of each address bounds an address
over all callers of that plan; what a tenant says of each address, within that tenant; what a key
says, that key alone. So a state is named by the parts that both its level and its `per` bring, and
two limits that share a state never mean different things by one name. States that name a tenant lie
in the tenant's hash slot, and are decided in one atomic call; the others lie outside. Pure.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

from tidegate.config.precedence import Level
from tidegate.rate_limiter.limits import KEY_PREFIX, Whose, key_state, tenant_state

VALUE_BYTES: Final = 12
"""Of a header's value only this much of its hash is in the store: values may be secrets, or long,
and two of a billion are equal once in 10^11 such sets."""


_PARTS_OF_LEVEL: Final = {
    Level.EVERYBODY: "",
    Level.ROUTE: "r",
    Level.PLAN: "p",
    Level.PLAN_ON_ROUTE: "pr",
    Level.TENANT: "t",
    Level.KEY: "tk",
}
"""Of a state's name: tenant, key, plan and route, one letter each."""
_PARTS_OF_PER: Final = {"key": "tk", "tenant": "t", "address": "a", "route": "r", "global": ""}
ADDRESS: Final = "address"


class State(NamedTuple):
    """One key of the store."""

    name: bytes
    is_outside: bool
    """Not in the hash slot of the caller's tenant."""
    whose: Whose
    """Whose requests alone are counted there. A tenant is on one plan, which is told with it."""


def parts_of(level: Level, per: str, whose: Whose) -> str:
    """Return what tells a state from others: tenant, key, plan, route, address and header's value,
    one letter each."""
    if ":" in per:
        return ("th" if whose.is_known else "h") + _PARTS_OF_LEVEL[level]
    return _PARTS_OF_PER[per] + _PARTS_OF_LEVEL[level]


def counted_in(level: Level, per: str, whose: Whose, value: bytes = b"") -> State:
    """Return the state of a limit of `per`; `value` is the address or the header's value.

    By key and tenant nothing can be counted without a caller.
    """
    header = per.partition(":")[2]
    parts = parts_of(level, per, whose)
    value = _value_part(header, value) if header else b"a:" + value
    alone = Whose(
        whose.tenant if "t" in parts else "",
        whose.key_id if "k" in parts else "",
        whose.plan if "p" in parts or "t" in parts else "",
        whose.route if "r" in parts else "",
    )
    name = _name_in_tenant if "t" in parts else _name_outside
    return State(name(parts, alone, value), "t" not in parts, alone)


def shared_state(per: str, value: bytes = b"") -> bytes:
    """Return the name of what is counted by address, route, header or all together (global) over
    all tenants; `value` is the address, the route's name or the header's value.

    What single plans and routes say there is counted in states whose names go on from it.
    """
    route = value.decode() if per == "route" else ""
    return counted_in(Level.EVERYBODY, per, Whose("", "", "", route), value).name


def _name_in_tenant(parts: str, whose: Whose, value: bytes) -> bytes:
    own = key_state(whose.tenant, whose.key_id) if "k" in parts else tenant_state(whose.tenant)
    route = b":r:" + whose.route.encode() if "r" in parts else b""
    return own + route + (b":" + value if "a" in parts or "h" in parts else b"")


def _name_outside(parts: str, whose: Whose, value: bytes) -> bytes:
    """The tag decides the hash slot: addresses and routes spread over all of a cluster's."""
    plan = b":p:" + whose.plan.encode() if "p" in parts else b""
    route = b"r:" + whose.route.encode() if "r" in parts else b""
    if "a" in parts or "h" in parts:
        tag, rest = value, plan + (b":" + route if route else b"")
    else:
        tag, rest = route or b"g", plan
    return KEY_PREFIX + b"{" + tag + b"}" + rest


def _value_part(header: str, value: bytes) -> bytes:
    digest = blake2b(value, digest_size=VALUE_BYTES).hexdigest()
    return f"h:{header}:{digest}".encode()
