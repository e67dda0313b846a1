"""Refuse, where they are written, fields and values that not_built.py names.

Runs on the tree, before the schema: a field may be in the schema before what it asks for is built.
"""

from typing import Final

from tidegate.config import not_built
from tidegate.config.nodes import Mapping, Node, Scalar, Sequence, found, joined
from tidegate.config.problems import Problems

_NAMED_BY_USERS: Final = frozenset(("plans", "plans.*.routes", "services[].routes[].costs"))


def check(root: Mapping, problems: Problems) -> None:
    _check(root, "", problems)


def place_below(place: str, name: str) -> str:
    """Return the place in the schema of a mapping's field, as not_built.py writes them."""
    if place in _NAMED_BY_USERS:
        return f"{place}.*"
    return f"{place}.{name}" if place else name


def place_of_items(place: str) -> str:
    """Return the place of a list's items; limits are the same wherever they stand."""
    return "limits[]" if place.rpartition(".")[2] == "limits" else f"{place}[]"


def _check(node: Node, place: str, problems: Problems) -> None:
    if isinstance(node, Mapping):
        refused = not_built.FIELDS.get(place, frozenset())
        for name, inner in node.fields.items():
            if name in refused or "*" in refused:
                mark = node.key_marks.get(name, inner.mark)
                message = not_built.words(f"the field {name}")
                problems.add(mark, joined(node.path, name), message)
            _check(inner, place_below(place, name), problems)
    elif isinstance(node, Sequence):
        for item in node.items:
            _check(item, place_of_items(place), problems)
    else:
        _check_word(node, place, problems)


def _check_word(node: Scalar, place: str, problems: Problems) -> None:
    word = (node.text or "").partition(":")[0]
    if word in not_built.VALUES.get(place, ()):
        name = place.rpartition(".")[2].removesuffix("[]")
        problems.add(node.mark, node.path, not_built.words(f"{name}: {found(node)}"))
