"""`load`: from a YAML file to a checked Config, or to every problem of the file at once.

Order of the steps: read with positions, lay the environment over it, resolve references, expand
short forms, merge `extends`, check each value (schema), check what values must agree on. Later
steps run although earlier ones found problems; a field is reported once.
"""

import os
from collections.abc import Mapping as Map
from pathlib import Path

from pydantic import ValidationError

from tidegate.config import checks, document, messages, plans, short_forms, unbuilt
from tidegate.config.environment import Settings, origin, variables
from tidegate.config.nodes import Mapping, Node, Scalar, Sequence, each, found, plain, scalars
from tidegate.config.places import places_of
from tidegate.config.problems import ConfigError, Mark, Problems
from tidegate.config.references import BadReference, holds_reference, resolved
from tidegate.config.schema import Config


def load(path: Path, environ: Map[str, str] | None = None) -> Config:
    """Load the configuration; raise ConfigError with all that is wrong.

    `environ` defaults to the process's environment over the `.env` of the working directory.
    """
    problems = Problems()
    root = document.read(path, problems)
    return checked(root, environ, path.parent, problems)


def checked(
    root: Mapping, environ: Map[str, str] | None, folder: Path, problems: Problems
) -> Config:
    """Take all steps but the reading; `folder` is where relative paths start."""
    short_forms.expand_admin(root)
    _override(root, environ, problems)
    _resolve(root, variables(environ), folder, problems)
    short_forms.expand(root, problems)
    plans.merge(root, problems)
    _find_files(root, folder, problems)
    unbuilt.check(root, problems)
    config = _validated(root, problems)
    checks.check(root, problems)
    problems.raise_if_any()
    if config is None:  # pragma: no cover: a refusal without a problem would be our own bug
        raise RuntimeError("the schema refused the configuration without saying why")
    config.note_references(root)
    return config.placed(places_of(root))


def _validated(root: Mapping, problems: Problems) -> Config | None:
    try:
        return Config.model_validate(plain(root))
    except ValidationError as error:
        messages.report(error, root, problems)
        return None


def _override(root: Mapping, environ: Map[str, str] | None, problems: Problems) -> None:
    try:
        settings = Settings.read(environ)
    except ConfigError as error:
        problems.include(error.problems)
        return
    for section, field, variable, value in settings.overrides():
        mark = Mark(origin(variable, environ))
        inner = root.fields.get(section)
        if not isinstance(inner, Mapping):
            inner = root.fields[section] = Mapping(section, mark)
        inner.fields[field] = Scalar(variable, mark, value, value)


def _resolve(node: Node, environ: Map[str, str], folder: Path, problems: Problems) -> None:
    if isinstance(node, Mapping):
        for child in node.fields.values():
            _resolve(child, environ, folder, problems)
    elif isinstance(node, Sequence):
        for item in node.items:
            _resolve(item, environ, folder, problems)
    elif node.text is not None and "${" in node.text and node.mark.line:
        try:
            node.is_referred = holds_reference(node.text)
            node.text = resolved(node.text, environ, folder)
        except BadReference as wrong:
            problems.add(node.mark, node.path, str(wrong))


def _find_files(root: Mapping, folder: Path, problems: Problems) -> None:
    """Files are named relative to the configuration; behind the loader nobody knows its folder."""
    for node in scalars(root, "services", "*", "tls", "ca_file"):
        node.text = _found_file(node, node.text or "", folder, problems)
    for node in scalars(root, "services", "*", "routes", "*", "policies", "*", "use"):
        _find_code(node, folder, problems)
    for route in each(root, "services", "*", "routes", "*"):
        for cost in (("cost",), ("costs", "*", "reserve")):
            for node in scalars(route, *cost, "function"):
                _find_code(node, folder, problems)


def _find_code(node: Scalar, folder: Path, problems: Problems) -> None:
    file, colon, name = (node.text or "").partition(":")
    if file.endswith(".py"):
        node.text = _found_file(node, file, folder, problems) + colon + name


def _found_file(node: Scalar, name: str, folder: Path, problems: Problems) -> str:
    path = Path(os.path.abspath(folder / name))
    if not path.is_file():
        problems.add(node.mark, node.path, f"found {found(node)}; there is no such file")
    return str(path)
