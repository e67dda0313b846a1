"""What limits must agree on with other objects: routes and units there are, callers to count by.

Each rule is one function on the tree; what has the wrong shape is the schema's to report. Twins and
idle nulls in plans are told where `extends` is resolved.
"""

from collections.abc import Iterator
from typing import Final

from tidegate.config import limit_lists
from tidegate.config.limits import NEED_CALLER, REQUESTS
from tidegate.config.nodes import (
    Mapping,
    Node,
    each,
    fields_at,
    found,
    may_be_quoted,
    scalars,
    text_of,
)
from tidegate.config.problems import Problems, did_you_mean
from tidegate.config.short_forms import is_open

_LISTED_MAX: Final = 10
_PLACES: Final = (
    ("limits",),
    ("plans", "*", "limits"),
    ("plans", "*", "routes", "*", "limits"),
    ("tenants", "*", "limits"),
    ("tenants", "*", "keys", "*", "limits"),
    ("services", "*", "routes", "*", "limits"),
)
"""Where limits are said."""


def check(root: Mapping, problems: Problems) -> None:
    for rule in (
        _names,
        _routes_exist,
        _callers_are_there,
        _units_are_cost,
        _units_are_counted,
        _somebody_is_told,
    ):
        rule(root, problems)


def _names(root: Mapping, problems: Problems) -> None:
    """Each name once in a list, and each null takes something away."""
    everybody = limit_lists.named(each(root, "limits"))
    routes = list(each(root, "services", "*", "routes", "*"))
    for top in each(root, "limits"):
        limit_lists.folded([top], {}, "the list", problems)
    for route in routes:
        for own in each(route, "limits"):
            limit_lists.folded([own], everybody, "the route", problems)
    lower = everybody | limit_lists.named(
        node for route in routes for node in each(route, "limits")
    )
    for tenant in limit_lists.tenants_with_limits(root):
        plan = next(each(root, "plans", text_of(tenant, "plan") or ""), None)
        below = lower | limit_lists.named(
            (*each(plan, "limits"), *each(plan, "routes", "*", "limits"))
        )
        for own in each(tenant, "limits"):
            limit_lists.folded([own], below, "the tenant", problems)
        below = below | limit_lists.named(each(tenant, "limits"))
        for own in each(tenant, "keys", "*", "limits"):
            limit_lists.folded([own], below, "the key", problems)


def _routes_exist(root: Mapping, problems: Problems) -> None:
    """What a plan says of a route is of one there is, and that has callers."""
    known = _routes_by_name(root)
    for routes in each(root, "plans", "*", "routes"):
        if not isinstance(routes, Mapping):
            continue
        for name, said in routes.fields.items():
            mark = routes.key_marks.get(name, said.mark)
            if name not in known:
                hint = did_you_mean(name, known) or _listed("routes", known)
                problems.add(mark, said.path, f"there is no route of this name{hint}")
            elif is_open(known[name]):
                message = (
                    "this route has auth: none, so that no plan is known there; "
                    "say it under the route's own limits"
                )
                problems.add(mark, said.path, message)


def _callers_are_there(root: Mapping, problems: Problems) -> None:
    """On a route with `auth: none` nothing is counted by key or tenant."""
    open_routes = [route for route in _routes_by_name(root).values() if is_open(route)]
    for route in open_routes:
        for limit in each(route, "limits", "*"):
            _needs_no_caller(limit, "this route", problems)
    if open_routes:
        name = text_of(open_routes[0], "name")
        for limit in each(root, "limits", "*"):
            _falls_back_to_no_caller(limit, f"the route {name}", problems)


def _needs_no_caller(limit: Node, whose: str, problems: Problems) -> None:
    per = next(each(limit, "per"), None)
    if limit_lists.is_removal(limit) or not isinstance(limit, Mapping):
        return
    if (text_of(limit, "per") or "key") in NEED_CALLER:
        where = per if per is not None else limit
        counted = f"found {found(per)}" if per is not None else "a limit counts per key"
        message = (
            f"{counted}, but {whose} has auth: none, so that no key or tenant is known there; "
            "write per: address, route, global or header:NAME"
        )
        problems.add(where.mark, where.path, message)
    _falls_back_to_no_caller(limit, whose, problems)


def _falls_back_to_no_caller(limit: Node, whose: str, problems: Problems) -> None:
    for node in each(limit, "on_missing"):
        if text_of(node) in NEED_CALLER:
            message = (
                f"found {found(node)}, but {whose} has auth: none, so that no key or tenant is "
                "known there; write refuse or address"
            )
            problems.add(node.mark, node.path, message)


def _units_are_cost(root: Mapping, problems: Problems) -> None:
    """A limit in a unit that no request costs would never count."""
    routes = _routes_by_name(root)
    everywhere = {unit for route in routes.values() for unit in _units_of(route)}
    for route in routes.values():
        _check_units(each(route, "limits", "*"), _units_of(route), "this route has no", problems)
    for name, said in fields_at(root, "plans", "*", "routes"):
        if name in routes:
            own = _units_of(routes[name])
            _check_units(each(said, "limits", "*"), own, f"the route {name} has no", problems)
    for place in (
        ("limits",),
        ("plans", "*", "limits"),
        ("tenants", "*", "limits"),
        ("tenants", "*", "keys", "*", "limits"),
    ):
        _check_units(each(root, *place, "*"), everywhere, "no route has a", problems)


def _units_are_counted(root: Mapping, problems: Problems) -> None:
    """A cost in a unit that is nearly one that limits count and other routes cost is a slip. One
    that is like none may be counted by a plan that the admin API makes."""
    routes = each(root, "services", "*", "routes", "*")
    counted = {unit for route in routes for unit in _units_of(route)} & {
        node.text or ""
        for place in _PLACES
        for node in scalars(root, *place, "*", "unit")
        if may_be_quoted(node)
    }
    for costs in each(root, "services", "*", "routes", "*", "costs"):
        if not isinstance(costs, Mapping):
            continue
        for unit, cost in costs.fields.items():
            hint = did_you_mean(unit, counted) if unit not in counted else ""
            if hint:
                mark = costs.key_marks.get(unit, cost.mark)
                problems.add(mark, cost.path, f"no limit counts this unit{hint}")


def _somebody_is_told(root: Mapping, problems: Problems) -> None:
    """A quota that notifies needs somebody to tell."""
    if next(each(root, "webhooks"), None) is not None:
        return
    for place in _PLACES:
        for node in each(root, *place, "*", "notify"):
            message = (
                "there is nobody to tell; write where events go, at the top level: "
                "webhooks: {url: https://…, secret: whsec_…}"
            )
            problems.add(node.mark, node.path, message)


def _check_units(limits: Iterator[Node], units: set[str], nobody: str, problems: Problems) -> None:
    for limit in limits:
        for node in each(limit, "unit"):
            unit = text_of(node)
            if unit is not None and unit != REQUESTS and unit not in units:
                hint = did_you_mean(unit, units) if may_be_quoted(node) else ""
                message = (
                    f"found {found(node)}, in which {nobody} cost, so that it would never "
                    f"count{hint or '; say what requests cost under costs of a route'}"
                )
                problems.add(node.mark, node.path, message)


def _units_of(route: Node) -> set[str]:
    costs = next(each(route, "costs"), None)
    return set(costs.fields) if isinstance(costs, Mapping) else set()


def _routes_by_name(root: Mapping) -> dict[str, Node]:
    routes = each(root, "services", "*", "routes", "*")
    return {text_of(route, "name") or "": route for route in routes}


def _listed(what: str, names: dict[str, Node]) -> str:
    return f"; the {what} are {', '.join(list(names)[:_LISTED_MAX])}"
