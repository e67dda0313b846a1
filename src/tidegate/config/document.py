"""Read a YAML file into nodes, with every bound that keeps a hostile or broken file harmless.

An alias is expanded, but under a bound on all nodes (billion laughs) and on depth (which also
ends a structure that holds itself). Duplicate keys, tags and merge keys are problems: each of
them changes silently what a reader believes to have written. Parsed by libyaml where PyYAML has
it (6 times faster).
"""

import re
from pathlib import Path
from typing import Final

import yaml

from tidegate.config.nodes import Mapping, Node, Scalar, Sequence, joined
from tidegate.config.problems import ConfigError, Mark, Problem, Problems

FILE_BYTES_MAX: Final = 4 * 2**20
NODES_MAX: Final = 200_000
DEPTH_MAX: Final = 32

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_KNOWN_TAGS: Final = frozenset(
    _TAG + name
    for name in ("str", "int", "float", "bool", "null", "seq", "map", "timestamp", "merge", "value")
)
_QUOTED: Final = re.compile(r" '.*'", re.DOTALL)
_SMALLEST: Final = "the smallest configuration has version, and services with a target and a route"


def read(path: Path, problems: Problems) -> Mapping:
    """Return the document's nodes; raise ConfigError where there is no tree to go on with."""
    text = _text(path)
    try:
        document = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise ConfigError([Problem("", str(path), line, column, _syntax(error))]) from None
    except RecursionError:
        raise _unusable(path, f"nested deeper than {DEPTH_MAX} levels") from None
    except yaml.YAMLError:
        raise _unusable(path, "holds a control character, which YAML does not allow") from None
    if document is None:
        raise _unusable(path, f"the file is empty; {_SMALLEST}")
    root = _Builder(str(path), problems).build(document, "", 1)
    if not isinstance(root, Mapping):
        raise _unusable(path, f"the file must hold a mapping; {_SMALLEST}")
    return root


class _Builder:
    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._nodes = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> Node:
        mark = self._mark(node)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._stop(mark, f"more than {NODES_MAX} values once aliases are expanded")
        if depth > DEPTH_MAX:
            self._stop(mark, f"nested deeper than {DEPTH_MAX} levels")
        if node.tag not in _KNOWN_TAGS:
            self._problems.add(mark, path, "tags (!…) are not used; write the plain value")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, Mapping(path, mark), depth)
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.build(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(node.value)
            ]
            return Sequence(path, mark, items)
        is_plain = not getattr(node, "style", None)
        text = None if node.tag == _TAG + "null" else node.value
        return Scalar(path, mark, text, node.value, is_plain)

    def _mapping(self, node: yaml.MappingNode, mapping: Mapping, depth: int) -> Mapping:
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.add(mark, mapping.path, "found a list or mapping as a field's name")
                continue
            key = key_node.value
            path = joined(mapping.path, key)
            if key == "<<" and not key_node.style:
                message = "merge keys are not used; plans have `extends`, the rest is written out"
                self._problems.add(mark, path, message)
            elif key in mapping.fields:
                first = mapping.key_marks[key].line
                message = f"the field is here twice (first on line {first}); keep one"
                self._problems.add(mark, path, message)
            else:
                mapping.fields[key] = self.build(value_node, path, depth + 1)
                mapping.key_marks[key] = mark
        return mapping

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _stop(self, mark: Mark, message: str) -> None:
        raise ConfigError([Problem("", *mark, message)])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        others = sorted(p.name for p in path.parent.glob("*.y*ml"))[:5]
        hint = f"; this folder has {', '.join(others)}" if others else ""
        raise _unusable(path, f"there is no such file{hint}") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise _unusable(path, f"larger than {FILE_BYTES_MAX // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError([Problem("", str(path), line, column, "not UTF-8 text")]) from None


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "undefined alias" in problem:
        return "an alias (*…) whose anchor (&…) is not above it; quote a value that starts with *"
    if "another document" in problem:
        return "a second document (---) begins here; the configuration is one document"
    if "cannot start any token" in problem:
        return "a character that cannot begin a value (a tab, @ or `); indent by spaces, or quote"
    if problem.startswith("did not find expected"):
        # The quotes hold YAML's own marks, such as ',' or ']', never what the file says.
        return f"not valid YAML: {problem}"
    # PyYAML quotes what it found, which may be a secret.
    return f"not valid YAML: {_QUOTED.sub('', problem)}"


def _unusable(path: Path, message: str) -> ConfigError:
    return ConfigError([Problem("", str(path), 0, 0, message)])
