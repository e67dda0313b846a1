"""What two objects must agree on: names that are unique, plans that exist, routes that differ.

Runs on the tree, not on the checked values, so that it speaks of a file that has other mistakes
as well. Each rule is one function; what has the wrong shape is the schema's to report.
"""

from collections.abc import Iterable
from typing import Final

from tidegate.config import allowed, cost_checks, limit_checks
from tidegate.config.cost_checks import count_of
from tidegate.config.nodes import (
    Mapping,
    Node,
    Scalar,
    each,
    found,
    may_be_quoted,
    scalars,
    text_of,
)
from tidegate.config.problems import Problems, did_you_mean

ANY: Final = "*"
_OWN_PATHS: Final = {
    "health_path": "/health",
    "ready_path": "/ready",
    "usage_path": "/.tidegate/usage",
}


def check(root: Mapping, problems: Problems) -> None:
    for rule in (_unique, _plans_exist, _own_paths, _routes_differ, _ports_differ):
        rule(root, problems)
    allowed.check(root, problems)
    limit_checks.check(root, problems)
    cost_checks.check(root, problems)


def _unique(root: Mapping, problems: Problems) -> None:
    _no_twins(scalars(root, "tenants", "*", "name"), "the name", problems)
    _no_twins(scalars(root, "tenants", "*", "keys", "*", "value"), "the key", problems)
    _no_twins(scalars(root, "services", "*", "name"), "the name", problems)
    _no_twins(scalars(root, "services", "*", "routes", "*", "name"), "the name", problems)
    for tenant in each(root, "tenants", "*"):
        _no_twins(scalars(tenant, "keys", "*", "name"), "the name", problems)
    for service in each(root, "services", "*"):
        _no_twins(scalars(service, "targets", "*"), "the target", problems)
        _app_stands_alone(list(scalars(service, "targets", "*")), problems)


def _no_twins(nodes: Iterable[Scalar], what: str, problems: Problems) -> None:
    first: dict[str | None, Scalar] = {}
    for node in nodes:
        twin = first.setdefault(node.text, node)
        if twin is not node:
            place = f"{twin.path} (line {twin.mark.line})"
            problems.add(node.mark, node.path, f"{_shown(what, node)} is taken by {place}")


def _app_stands_alone(targets: list[Scalar], problems: Problems) -> None:
    for target in targets:
        if len(targets) > 1 and (target.text or "").lower().startswith("asgi:"):
            message = f"found {found(target)}; an application is the only target of its service"
            problems.add(target.mark, target.path, message)


def _shown(what: str, node: Scalar) -> str:
    return what if what == "the key" else f"{what} {found(node)}"


def _plans_exist(root: Mapping, problems: Problems) -> None:
    plans = root.fields.get("plans", Mapping("plans", root.mark))
    if not isinstance(plans, Mapping):
        return
    for plan in scalars(root, "tenants", "*", "plan"):
        if plan.text not in plans.fields:
            hint = did_you_mean(plan.text or "", plans.fields) if may_be_quoted(plan) else ""
            listed = f"; the plans are {', '.join(list(plans.fields)[:10])}"
            right = hint or (listed if plans.fields else "; the file has no plans")
            problems.add(plan.mark, plan.path, f"found {found(plan)}, which is no plan{right}")


def _own_paths(root: Mapping, problems: Problems) -> None:
    """The gateway answers some paths itself; a catch-all does not take them, nor may a route."""
    own: dict[str, str] = {}
    for field, default in _OWN_PATHS.items():
        other = own.setdefault(text_of(root, "listen", field) or default, field)
        if other != field:
            written = [*scalars(root, "listen", field), *scalars(root, "listen", other)]
            message = f"{other} and {field} are the same; they answer different questions"
            problems.add(written[0].mark, written[0].path, message)
    for kind in ("paths", "exact_paths"):
        for node in scalars(root, "services", "*", "routes", "*", kind, "*"):
            if node.text in own:
                message = (
                    f"found {found(node)}, which the gateway answers itself; "
                    f"route another path, or move listen.{own[node.text]}"
                )
                problems.add(node.mark, node.path, message)


def _routes_differ(root: Mapping, problems: Problems) -> None:
    """Of two routes with the same match the first in the file answers: the other is unreachable."""
    first: dict[tuple[str, ...], tuple[int, Node]] = {}
    for number, route in enumerate(each(root, "services", "*", "routes", "*")):
        for path, host, method, node in _matches(route):
            twin_number, twin = first.get((*path, host, ANY)) or first.setdefault(
                (*path, host, method), (number, node)
            )
            if twin is node:
                continue
            if twin_number == number:
                message = f"{_what(node)} is here twice"
            else:
                place = f"{twin.path} (line {twin.mark.line})"
                message = f"{_what(node)} is taken by {place}, for the same hosts and methods"
            problems.add(node.mark, node.path, message)
        for path, host, method, node in _matches(route):
            if method == "GET":  # brings HEAD with it, unless an earlier route has that
                first.setdefault((*path, host, "HEAD"), (number, node))


def _matches(route: Node) -> list[tuple[tuple[str, str], str, str, Node]]:
    """Every (path, host, method) the route takes, with the node that says the path."""
    wanted: list[tuple[str, str, Node]] = [
        (kind, node.text or "", node)
        for kind in ("paths", "exact_paths")
        for node in scalars(route, kind, "*")
    ]
    hosts = [(host.text or "").lower() for host in scalars(route, "hosts", "*")]
    methods = [method.text or "" for method in scalars(route, "methods", "*")]
    return [
        ((kind, path), host, method, node)
        for kind, path, node in wanted or [("paths", "/", route)]
        for host in dict.fromkeys(hosts or [ANY])
        for method in dict.fromkeys(methods or [ANY])
    ]


def _what(node: Node) -> str:
    return f"the path {found(node)}" if isinstance(node, Scalar) else "every path"


def _ports_differ(root: Mapping, problems: Problems) -> None:
    """Port 0 is any free one."""
    port = text_of(root, "listen", "port") or "8000"
    for admin in scalars(root, "admin", "port"):
        if count_of(admin.text) == count_of(port) != 0:
            message = f"found {found(admin)}, the port of the traffic (listen.port); choose another"
            problems.add(admin.mark, admin.path, message)
