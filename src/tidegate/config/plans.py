"""Resolve `extends`: each plan ends with the whole list of its limits.

A plan has its parent's limits, by name. An entry of the same name takes the parent's place whole
(it is not merged field by field: half of one bucket and half of another is nobody's intention);
one whose rate or quota is null removes it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from tidegate.config import allowed
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
    merged = {name: _merged(chain, problems) for name, chain in chains.items()}
    for chain in chains.values():
        if chain:
            allowed.inherit(chain, problems)
    for name, limits in merged.items():
        plan = plans.fields[name]
        if isinstance(plan, Mapping):
            plan.fields.pop("extends", None)
            allowed.lift(plan)
            if limits is not None:
                own = plan.fields.get("limits")
                where = own if own is not None else plan
                path = joined(plan.path, "limits")
                plan.fields["limits"] = Sequence(path, where.mark, limits)


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


def _merged(chain: list[Mapping], problems: Problems) -> list[Node] | None:
    """Fold from the oldest; None leaves a list of the wrong shape for the schema to report."""
    limits: dict[str, Node] = {}
    for plan in reversed(chain):
        own = plan.fields.get("limits", Sequence("", plan.mark))
        if not isinstance(own, Sequence):
            if plan is chain[0]:
                return None
            continue
        seen: dict[str, Node] = {}
        for index, entry in enumerate(own.items):
            # An entry without a name is the schema's to report, in its own place.
            name = text_of(entry, "name") or f"{plan.path} {index}"
            if name in seen:
                named = _name_of(entry)
                message = (
                    f"the plan has {found(named)} twice (first on line {seen[name].mark.line})"
                )
                problems.add(named.mark, named.path, message)
            seen[name] = entry
            if not any(_nulls(entry)):
                limits[name] = entry
            elif limits.pop(name, None) is None:
                _report_idle_removal(entry, limits.values(), problems)
    return list(limits.values())


def _report_idle_removal(entry: Node, limits: Iterable[Node], problems: Problems) -> None:
    value = next(scalar for scalar in _nulls(entry))
    named = _name_of(entry)
    known = [text_of(limit, "name") or "" for limit in limits if may_be_quoted(_name_of(limit))]
    hint = did_you_mean(text_of(named) or "", known) if may_be_quoted(named) else ""
    message = f"null removes an inherited limit, but none is named {found(named)}{hint}"
    problems.add(value.mark, value.path, message)


def _nulls(entry: Node) -> Iterator[Scalar]:
    for field in ("rate", "quota"):
        for node in each(entry, field):
            if isinstance(node, Scalar) and node.text is None:
                yield node


def _name_of(entry: Node) -> Node:
    return next(each(entry, "name"), entry)
