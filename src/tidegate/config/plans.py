"""Resolve `extends`: each plan ends with the whole list of its limits, and of those on each route.

A plan has its parent's limits, by name, as limit_lists folds them, and what its parent says of
single routes and of a store that cannot be reached.
"""

from collections.abc import Iterator
from typing import Final

from tidegate.config import allowed, limit_lists
from tidegate.config.nodes import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    each,
    found,
    joined,
    may_be_quoted,
    text_of,
)
from tidegate.config.problems import Problems, did_you_mean

CHAIN_MAX: Final = 32


def merge(root: Mapping, problems: Problems) -> None:
    plans = root.fields.get("plans")
    if not isinstance(plans, Mapping):
        return
    chains = {name: _chain(plans, name, problems) for name in plans.fields}
    lower = limit_lists.named(_lower_lists(root))
    merged = {name: _merged(chain, lower, problems) for name, chain in chains.items() if chain}
    for chain in chains.values():
        if chain:
            allowed.inherit(chain, problems)
    for name, fields in merged.items():
        plan = plans.fields[name]
        if isinstance(plan, Mapping):
            plan.fields.pop("extends", None)
            allowed.lift(plan)
            plan.fields |= fields


def _lower_lists(root: Mapping) -> Iterator[Node]:
    """What is said of limits below all plans."""
    yield from each(root, "limits")
    yield from each(root, "services", "*", "routes", "*", "limits")


def _chain(plans: Mapping, name: str, problems: Problems) -> list[Mapping]:
    """Return the plan and its ancestors, the plan first; a broken link ends the chain."""
    names = [name]
    chain: list[Mapping] = []
    while True:
        plan = plans.fields[names[-1]]
        if not isinstance(plan, Mapping):
            return chain
        chain.append(plan)
        parent = plan.fields.get("extends")
        if parent is None:
            return chain
        message = _broken(plans, names, parent)
        if message is not None:
            if message:
                problems.add(parent.mark, parent.path, message)
            return chain
        names.append(text_of(parent) or "")


def _broken(plans: Mapping, names: list[str], parent: Node) -> str | None:
    """Return why the chain ends here (empty: it is told elsewhere), or None."""
    if not isinstance(parent, Scalar) or parent.text is None:
        return f"found {found(parent)}; a plan extends one other plan, by name"
    if parent.text not in plans.fields:
        hint = did_you_mean(parent.text, plans.fields) if may_be_quoted(parent) else ""
        return f"found {found(parent)}, which is no plan{hint or _listed(plans)}"
    if parent.text in names:
        circle = [*names[names.index(parent.text) :], parent.text]
        if circle[0] != next(name for name in plans.fields if name in circle):
            return ""  # said once, of the plan that comes first
        return f"plans extend each other in a circle: {' → '.join(circle)}"
    if len(names) >= CHAIN_MAX:
        return f"plans extend each other more than {CHAIN_MAX} deep"
    return None


def _listed(plans: Mapping) -> str:
    return f"; the plans are {', '.join(list(plans.fields)[:10])}"


def _merged(chain: list[Mapping], lower: limit_lists.Named, problems: Problems) -> dict[str, Node]:
    """Return the fields that the plan, the first of its chain, ends with."""
    plan = chain[0]
    fields: dict[str, Node] = {}
    if _is_list(plan.fields.get("limits")):
        fields["limits"] = _limits(plan, chain, lower, "the plan", problems)
    says_routes = any("routes" in one.fields for one in chain)
    if says_routes and _is_mapping(plan.fields.get("routes")):
        below = limit_lists.over(lower, fields.get("limits"))
        fields["routes"] = _routes(chain, below, problems)
    told = [node for one in chain for node in each(one, "on_store_failure")]
    if told:
        fields["on_store_failure"] = told[0]
    return fields


def _routes(chain: list[Mapping], lower: limit_lists.Named, problems: Problems) -> Mapping:
    """Return what the plan and its ancestors say of single routes."""
    written = [node for plan in chain for node in each(plan, "routes")]
    own = [node for node in written if isinstance(node, Mapping)]
    where = written[0] if written else chain[0]
    routes = Mapping(joined(chain[0].path, "routes"), where.mark)
    for name in dict.fromkeys(name for one in reversed(own) for name in one.fields):
        of_route = [one.fields[name] for one in own if name in one.fields]
        mappings = [node for node in of_route if isinstance(node, Mapping)]
        routes.key_marks[name] = next(
            one.key_marks.get(name, one.mark) for one in own if name in one.fields
        )
        if len(mappings) < len(of_route) or not _is_list(mappings[0].fields.get("limits")):
            routes.fields[name] = of_route[0]  # the schema's to report
            continue
        first = mappings[0]
        limits = _limits(first, mappings, lower, "the route", problems)
        fields: dict[str, Node] = {**first.fields, "limits": limits}
        routes.fields[name] = Mapping(first.path, first.mark, fields, first.key_marks)
    return routes


def _limits(
    own: Mapping, chain: list[Mapping], lower: limit_lists.Named, whose: str, problems: Problems
) -> Sequence:
    """Fold the lists of a chain, of which `own` is the first."""
    where = own.fields.get("limits", own)
    lists = [node for one in reversed(chain) for node in each(one, "limits")]
    folded = limit_lists.folded(lists, lower, whose, problems)
    return Sequence(joined(own.path, "limits"), where.mark, folded)


def _is_list(node: Node | None) -> bool:
    """A wrong shape is left for the schema to report."""
    return node is None or isinstance(node, Sequence)


def _is_mapping(node: Node | None) -> bool:
    return node is None or isinstance(node, Mapping)
