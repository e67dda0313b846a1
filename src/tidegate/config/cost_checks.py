"""A request that costs more than a limit ever holds could wait for ever; a cost that nobody may
name is none.

Each route with a cost of its own is held against the limits that its callers have there, by plan,
tenant and key: what a higher level says in place of a lower limit counts, not the lower one.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tidegate.config.limit_lists import is_removal, name_of, tenants_with_limits
from tidegate.config.limits import REQUESTS
from tidegate.config.nodes import Mapping, Node, Scalar, each, fields_at, found, scalars, text_of
from tidegate.config.problems import Problems
from tidegate.config.short_forms import YES, is_open
from tidegate.config.units import parse_rate

Holdings = dict[str, tuple[int, Node] | None]
"""By name, how many requests a limit gives at one time, and the limit; None: it refuses none for
their cost, or takes one away that would."""


def check(root: Mapping, problems: Problems) -> None:
    _check_headers(root, problems)
    costly = [
        (route, costs)
        for route in each(root, "services", "*", "routes", "*")
        if (costs := [node for node in _costs(route) if count_of(node.text) > 1])
    ]
    speaking = [_Speaking.of(tenant) for tenant in tenants_with_limits(root)] if costly else []
    for route, costs in costly:
        smallest = _smallest(root, route, speaking)
        for cost in costs:
            _check_cost(cost, smallest, problems)


def _check_headers(root: Mapping, problems: Problems) -> None:
    """A header that tells a cost is read from trusted proxies alone."""
    if next(scalars(root, "listen", "trusted_proxies", "*"), None) is not None:
        return
    for route in each(root, "services", "*", "routes", "*"):
        for place in (("cost",), ("costs", "*", "reserve")):
            for node in scalars(route, *place, "header"):
                message = (
                    "nobody is trusted to say what a request costs, so that this is never read; "
                    "name who sets it in listen.trusted_proxies: [10.0.0.0/8], or write a number"
                )
                problems.add(node.mark, node.path, message)


class _Speaking(NamedTuple):
    """What a tenant and its keys say, read once for all routes."""

    plan: str
    limits: Holdings
    keys: tuple[Holdings, ...]

    @staticmethod
    def of(tenant: Node) -> "_Speaking":
        return _Speaking(
            text_of(tenant, "plan") or "",
            _held(each(tenant, "limits")),
            tuple(_held([limits]) for limits in each(tenant, "keys", "*", "limits")),
        )


def _check_cost(cost: Scalar, smallest: tuple[int, Node] | None, problems: Problems) -> None:
    if smallest is None or count_of(cost.text) <= smallest[0]:
        return
    holds, limit = smallest
    field = _room(limit)
    message = (
        f"found {found(cost)}, more than the {holds} that the limit {found(name_of(limit))} "
        f"({limit.path}, line {limit.mark.line}) ever holds: its callers could never be served; "
        f"raise its {field}, or lower the cost"
    )
    problems.add(cost.mark, cost.path, message)


def _room(limit: Node) -> str:
    """Return the field that says how much a limit holds."""
    if text_of(limit, "rate") is None:
        return "quota"
    return "rate" if text_of(limit, "algorithm") == "sliding-window" else "burst"


def _costs(route: Node) -> Iterator[Scalar]:
    """What a request may cost for certain: the number, each by method, the header's default."""
    yield from scalars(route, "cost")
    by_function = any(True for _ in each(route, "cost", "function"))
    by_header = any(True for _ in each(route, "cost", "header"))
    if by_header:
        yield from scalars(route, "cost", "default")
    elif not by_function:
        yield from scalars(route, "cost", "*")


def _smallest(root: Mapping, route: Node, speaking: Iterable[_Speaking]) -> tuple[int, Node] | None:
    """Return the limit of all callers of the route that holds least."""
    smallest: tuple[int, Node] | None = None
    for limits in _limits_of_callers(root, route, speaking):
        for held in limits.values():
            if held is not None and (smallest is None or held[0] < smallest[0]):
                smallest = held
    return smallest


def _limits_of_callers(
    root: Mapping, route: Node, speaking: Iterable[_Speaking]
) -> Iterator[Holdings]:
    """Yield what holds for callers on each plan, of each tenant and with each key; for nobody."""
    name = text_of(route, "name") or ""
    below = _held(each(root, "limits")) | _held(each(route, "limits"))
    if is_open(route):
        yield below
        return
    by_plan: dict[str, Holdings] = {}
    for plan, said in fields_at(root, "plans"):
        on_route = _held(each(said, "routes", name, "limits"))
        by_plan[plan] = below | _held(each(said, "limits")) | on_route
        yield by_plan[plan]
    for tenant in speaking:
        of_tenant = by_plan.get(tenant.plan, below) | tenant.limits
        yield of_tenant
        for own in tenant.keys:
            yield of_tenant | own


def _held(lists: Iterable[Node]) -> Holdings:
    """Return what each limit holds, by name."""
    held: Holdings = {}
    for entry in (entry for entries in lists for entry in each(entries, "*")):
        name, holds = text_of(entry, "name"), _holds(entry)
        if name is not None:
            held[name] = (holds, entry) if holds and not is_removal(entry) else None
    return held


def _holds(limit: Node) -> int:
    """Return the most requests that the limit gives at one time; 0: not known, or it refuses none
    for their cost."""
    if (text_of(limit, "unit") or REQUESTS) != REQUESTS or _is_shadow(limit):
        return 0
    burst = text_of(limit, "burst")
    if burst is not None:
        return count_of(burst)
    try:
        return parse_rate(text_of(limit, "rate") or text_of(limit, "quota") or "").count
    except ValueError:
        return 0


def _is_shadow(limit: Node) -> bool:
    return (text_of(limit, "shadow") or "").lower() in YES


def count_of(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) <= 18 else 0
