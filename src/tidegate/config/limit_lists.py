"""Lists of limits on the tree, by name: twins, what a null takes away, and one list over another.

An entry of the same name takes the lower one's place whole (it is not merged field by field: half
of one bucket and half of another is nobody's intention); one whose rate, quota or concurrency is
null takes it away.
"""

from collections.abc import Iterable, Iterator

from tidegate.config.limits import KIND_FIELDS
from tidegate.config.nodes import Node, Scalar, Sequence, each, found, may_be_quoted, text_of
from tidegate.config.problems import Problems, did_you_mean

Named = dict[str, Node]
"""Limits by name, in the order in which names were first said."""


def folded(lists: Iterable[Node], lower: Named, whose: str, problems: Problems) -> list[Node]:
    """Fold lists of one object and those it extends, the oldest first, and report their mistakes.

    A null stays if `lower`, what other objects say, has a limit for it to take away.
    """
    limits: Named = {}
    for entries in lists:
        own = _by_name(entries, whose, problems)
        for name, entry in own.items():
            if not is_removal(entry):
                limits[name] = entry
                continue
            inherited = limits.pop(name, None)
            if name in lower:
                limits[name] = entry
            elif inherited is None or is_removal(inherited):
                _report_idle_removal(entry, (*limits.values(), *lower.values()), problems)
    return list(limits.values())


def over(lower: Named, entries: Node | None) -> Named:
    """Return what holds once `entries` are laid over `lower`."""
    limits = dict(lower)
    for entry in each(entries, "*"):
        name = text_of(entry, "name")
        if name is not None:
            limits.pop(name, None) if is_removal(entry) else limits.update({name: entry})
    return limits


def named(lists: Iterable[Node]) -> Named:
    """Return every limit that any of the lists has, the first of each name."""
    limits: Named = {}
    for entries in lists:
        for name, entry in over({}, entries).items():
            limits.setdefault(name, entry)
    return limits


def tenants_with_limits(root: Node) -> Iterator[Node]:
    """Yield the tenants that say something of limits, or one of whose keys does: few of many."""
    for tenant in each(root, "tenants", "*"):
        own = (*each(tenant, "limits"), *each(tenant, "keys", "*", "limits"))
        if own:
            yield tenant


def is_removal(entry: Node) -> bool:
    return any(_nulls(entry))


def _by_name(entries: Node, whose: str, problems: Problems) -> Named:
    seen: Named = {}
    items = entries.items if isinstance(entries, Sequence) else ()
    for index, entry in enumerate(items):
        # An entry without a name is the schema's to report, in its own place.
        name = text_of(entry, "name") or f"{entries.path} {index}"
        if name in seen:
            twin = name_of(entry)
            line = seen[name].mark.line
            short = twin.path.rpartition(".")[2]
            message = f"{whose} has {found(twin)} twice (first on line {line})"
            if short in KIND_FIELDS:
                message = (
                    f"{short} here is short for a limit named {found(twin)}, which {whose} has "
                    f"under limits too (line {line}); write one of them"
                )
            problems.add(twin.mark, twin.path, message)
        seen[name] = entry
    return seen


def _report_idle_removal(entry: Node, limits: Iterable[Node], problems: Problems) -> None:
    value = next(_nulls(entry))
    own = name_of(entry)
    known = [text_of(limit, "name") or "" for limit in limits if may_be_quoted(name_of(limit))]
    hint = did_you_mean(text_of(own) or "", known) if may_be_quoted(own) else ""
    message = f"null removes an inherited limit, but none is named {found(own)}{hint}"
    problems.add(value.mark, value.path, message)


def _nulls(entry: Node) -> Iterator[Scalar]:
    for field in KIND_FIELDS:
        for node in each(entry, field):
            if isinstance(node, Scalar) and node.text is None:
                yield node


def name_of(entry: Node) -> Node:
    return next(each(entry, "name"), entry)
