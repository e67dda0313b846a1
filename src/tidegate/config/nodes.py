"""A YAML document as a tree that remembers where and how each value was written.

Scalars stay text: whether `8000`, `on` or `007` is a number, a truth or a name is decided by the
field that takes it, so that YAML 1.1's surprises (`no`, `0777`, `1:30`) cannot happen. Short forms
are rewritten on this tree; since every node keeps its own path, messages name what was written.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from tidegate.config import not_built
from tidegate.config.problems import Mark
from tidegate.config.redaction import redacted_url

_FOUND_CHARACTERS_MAX: Final = 80
# Whatever is written where a key belongs, also in a wrong shape, is treated as a key; what its
# limits say is not.
_SECRET: Final = re.compile(
    r"(?:^|\.)(?:keys(?!\[\d+\]\.limits\b)|value|token|password|secret)\b(?!.*\.name$)"
)
_KEY_FIELDS: Final = ("name", "value", "limits", *sorted(not_built.FIELDS["tenants[].keys[]"]))
_SIMPLE_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?")
_UNTYPED: Final = "settings"
"""The one field whose shape only a user's policy knows: scalars get YAML 1.2's types there."""


@dataclass(slots=True)
class Scalar:
    path: str
    mark: Mark
    text: str | None
    """References resolved; None is YAML's null."""
    shown: str
    """As written: what messages may show."""
    is_plain: bool = True
    is_referred: bool = False


@dataclass(slots=True)
class Mapping:
    path: str
    mark: Mark
    fields: dict[str, "Node"] = field(default_factory=dict)
    key_marks: dict[str, Mark] = field(default_factory=dict)


@dataclass(slots=True)
class Sequence:
    path: str
    mark: Mark
    items: list["Node"] = field(default_factory=list)


Node = Scalar | Mapping | Sequence


def joined(path: str, key: str) -> str:
    """Return the path of a mapping's field, without spelling out a key in a field's place."""
    is_known = key in _KEY_FIELDS
    if not is_known and _SECRET.search(path) and not get_close_matches(key, _KEY_FIELDS, n=1):
        return f"{path}.…"
    name = key if _SIMPLE_NAME.fullmatch(key) else json.dumps(key[:60], ensure_ascii=False)
    return f"{path}.{name}" if path else name


def found(node: Node) -> str:
    """Say what stands there without giving a secret away."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    if node.text is None:
        return "nothing"
    if is_secret(node) and node.text:
        return "a value that is not shown"
    shown = redacted_url(node.shown) if "@" in node.shown else node.shown
    if len(shown) > _FOUND_CHARACTERS_MAX:
        shown = shown[:_FOUND_CHARACTERS_MAX] + "…"
    return json.dumps(shown, ensure_ascii=False)


def is_secret(node: Scalar) -> bool:
    """A key; a reference may be shown as it is written, also in a key's place."""
    return _SECRET.search(node.path) is not None and not node.is_referred


def may_be_quoted(node: Node) -> bool:
    """Whether words derived from the value (a better spelling) may stand in a message."""
    return isinstance(node, Scalar) and not node.is_referred and not is_secret(node)


def each(node: Node | None, *steps: str) -> Iterator[Node]:
    """Yield the nodes at a path; `*` is every item of a list or field of a mapping."""
    if node is None or not steps:
        if node is not None:
            yield node
        return
    step, *rest = steps
    if isinstance(node, Mapping):
        inner = list(node.fields.values()) if step == "*" else [node.fields.get(step)]
    elif isinstance(node, Sequence) and step == "*":
        inner = list(node.items)
    else:
        inner = []
    for child in inner:
        yield from each(child, *rest)


def fields_at(node: Node | None, *steps: str) -> Iterator[tuple[str, Node]]:
    """Yield the fields, with their names, of the mapping at a path."""
    for parent in each(node, *steps):
        if isinstance(parent, Mapping):
            yield from parent.fields.items()


def scalars(node: Node | None, *steps: str) -> Iterator[Scalar]:
    """Yield the scalars at a path that hold text."""
    for found_node in each(node, *steps):
        if isinstance(found_node, Scalar) and found_node.text is not None:
            yield found_node


def text_of(node: Node | None, *steps: str) -> str | None:
    """Return the text of the one scalar at a path."""
    return next((scalar.text for scalar in scalars(node, *steps)), None)


def plain(node: Node, typed: bool = False) -> Any:
    """Return the tree as dicts, lists and strings, for the schema to check."""
    if isinstance(node, Mapping):
        return {
            name: plain(child, typed or name == _UNTYPED) for name, child in node.fields.items()
        }
    if isinstance(node, Sequence):
        return [plain(item, typed) for item in node.items]
    return _typed(node) if typed else node.text


def _typed(node: Scalar) -> Any:
    text = node.text
    if text is None or not node.is_plain or node.is_referred:
        return text
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text) and len(text) <= 20:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
