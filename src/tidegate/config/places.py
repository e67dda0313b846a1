"""Where the file defines what, so that whoever may not change it is told where to.

Told of tenants, plans, keys (as `tenant/name`), services, routes, limits (after their level and
whose they are, as `plan/pro/steady`), and what names code of the user's own: policies (as
`route/0`) and targets (as `service/0`). Kept beside the checked values,
not among them: a configuration is the same wherever its lines stand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tidegate.config import nodes
from tidegate.config.problems import Mark

SOMEWHERE: Final = "the configuration file"
EVERYBODY: Final = "everybody"


@dataclass(frozen=True, slots=True)
class Places:
    """Any two are equal, so that they never make two configurations differ."""

    marks: Mapping[tuple[str, str], Mark] = field(default_factory=dict, compare=False)

    def of(self, kind: str, name: str) -> str:
        """Return `gate.yaml:12`, or words for it where that is not known."""
        mark = self.mark(kind, name)
        return f"{mark.file}:{mark.line}" if mark.line else mark.file

    def mark(self, kind: str, name: str) -> Mark:
        """Return the place for a Problem; the line is 0 where it is not known."""
        return self.marks.get((kind, name), Mark(SOMEWHERE))


def limit_place(level: str, *whose: str) -> str:
    """Return what the place of a limit is named by, but for the limit's own name."""
    return "/".join((level, *whose))


def places_of(root: nodes.Mapping) -> Places:
    """Return the places of a document's objects."""
    return Places(dict(_named(root)))


def _named(root: nodes.Mapping) -> Iterator[tuple[tuple[str, str], Mark]]:
    yield from _of_limits(root, limit_place(EVERYBODY))
    plans = root.fields.get("plans")
    if isinstance(plans, nodes.Mapping):
        for plan, node in plans.fields.items():
            yield ("plan", plan), plans.key_marks.get(plan, node.mark)
            yield from _of_limits(node, limit_place("plan", plan))
            for on_route, said in nodes.fields_at(node, "routes"):
                yield from _of_limits(said, limit_place("plan on route", plan, on_route))
    for tenant in nodes.each(root, "tenants", "*"):
        owner = nodes.text_of(tenant, "name") or ""
        yield ("tenant", owner), tenant.mark
        yield from _of_limits(tenant, limit_place("tenant", owner))
        for key in nodes.each(tenant, "keys", "*"):
            key_name = nodes.text_of(key, "name") or ""
            yield ("key", f"{owner}/{key_name}"), key.mark
            yield from _of_limits(key, limit_place("key", owner, key_name))
    for service in nodes.each(root, "services", "*"):
        name = nodes.text_of(service, "name") or ""
        yield ("service", name), service.mark
        for index, target in enumerate(nodes.each(service, "targets", "*")):
            yield ("target", f"{name}/{index}"), target.mark
        for route in nodes.each(service, "routes", "*"):
            yield from _of_route(route)


def _of_route(route: nodes.Node) -> Iterator[tuple[tuple[str, str], Mark]]:
    name = nodes.text_of(route, "name") or ""
    yield ("route", name), route.mark
    yield from _of_limits(route, limit_place("route", name))
    for index, policy in enumerate(nodes.each(route, "policies", "*")):
        yield ("policy", f"{name}/{index}"), policy.mark
    for function in nodes.each(route, "cost", "function"):
        yield ("cost function", name), function.mark
    for costs in nodes.each(route, "costs"):
        for unit, cost in costs.fields.items() if isinstance(costs, nodes.Mapping) else ():
            for function in nodes.each(cost, "reserve", "function"):
                yield ("cost function", f"{name}/{unit}"), function.mark


def _of_limits(owner: nodes.Node, place: str) -> Iterator[tuple[tuple[str, str], Mark]]:
    for limit in nodes.each(owner, "limits", "*"):
        yield ("limit", f"{place}/{nodes.text_of(limit, 'name')}"), limit.mark
