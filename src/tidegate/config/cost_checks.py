"""A request that costs more than a limit ever holds could wait for ever.

Each route with a cost of its own is held against the limits that its callers have there, by plan,
tenant and key: what a higher level says in place of a lower limit counts, not the lower one.
"""

from collections.abc import Iterator

from tidegate.config.limit_lists import Named, named, over
from tidegate.config.limits import REQUESTS
from tidegate.config.nodes import Mapping, Node, Scalar, each, fields_at, found, scalars, text_of
from tidegate.config.problems import Problems
from tidegate.config.short_forms import YES, is_open
from tidegate.config.units import parse_rate


def check(root: Mapping, problems: Problems) -> None:
    for route in each(root, "services", "*", "routes", "*"):
        costs = [node for node in _costs(route) if count_of(node.text) > 1]
        if costs:
            smallest = _smallest(root, route)
            for cost in costs:
                _check_cost(cost, smallest, problems)


def _check_cost(cost: Scalar, smallest: tuple[int, Node] | None, problems: Problems) -> None:
    if smallest is None or count_of(cost.text) <= smallest[0]:
        return
    limit = smallest[1]
    message = (
        f"found {found(cost)}, more than {limit.path} (line {limit.mark.line}) ever "
        "allows: its callers could never be served"
    )
    problems.add(cost.mark, cost.path, message)


def _costs(route: Node) -> Iterator[Scalar]:
    """What a request may cost for certain: the number, each by method, the header's default."""
    yield from scalars(route, "cost")
    by_function = any(True for _ in each(route, "cost", "function"))
    by_header = any(True for _ in each(route, "cost", "header"))
    if by_header:
        yield from scalars(route, "cost", "default")
    elif not by_function:
        yield from scalars(route, "cost", "*")


def _smallest(root: Mapping, route: Node) -> tuple[int, Node] | None:
    """Return the limit of all callers of the route that holds least."""
    smallest: tuple[int, Node] | None = None
    for limits in _limits_of_callers(root, route):
        for limit in limits.values():
            holds = _holds(limit)
            if holds and (smallest is None or holds < smallest[0]):
                smallest = holds, limit
    return smallest


def _limits_of_callers(root: Mapping, route: Node) -> Iterator[Named]:
    """Yield what holds for callers on each plan, of each tenant and with each key; for nobody."""
    name = text_of(route, "name") or ""
    below = over(named(each(root, "limits")), next(each(route, "limits"), None))
    if is_open(route):
        yield below
        return
    by_plan: dict[str, Named] = {}
    for plan, said in fields_at(root, "plans"):
        on_plan = over(below, next(each(said, "limits"), None))
        on_plan = over(on_plan, next(each(said, "routes", name, "limits"), None))
        by_plan[plan] = on_plan
        yield on_plan
    for tenant in each(root, "tenants", "*"):
        on_plan = by_plan.get(text_of(tenant, "plan") or "", below)
        of_tenant = over(on_plan, next(each(tenant, "limits"), None))
        yield of_tenant
        for own in each(tenant, "keys", "*", "limits"):
            yield over(of_tenant, own)


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
