"""Which files a configuration is made from: itself, what it refers to, what it names, `.env`.

For whoever watches them. Lenient, since a file is watched most of all while it is wrong: a file
that is not there yet is named, and a reference that cannot be resolved is passed over.
"""

from collections.abc import Iterator
from pathlib import Path

from tidegate.config import document
from tidegate.config.environment import DOTENV, variables
from tidegate.config.nodes import Mapping, Node, Scalar, Sequence, scalars
from tidegate.config.problems import Problems
from tidegate.config.references import BadReference, files_named, resolved


def source_files(path: Path) -> set[Path]:
    """Return the files whose change may change what the configuration means, as absolute paths.

    Raises ConfigError while the file is no YAML.
    """
    root = document.read(path, Problems())
    environ = variables()
    found = {path, Path(DOTENV)}
    for scalar in _all_scalars(root):
        found.update(files_named(scalar.shown, path.parent))
    for scalar in scalars(root, "services", "*", "targets", "*"):
        found.update(_files_of_app(scalar.text or ""))
    for scalar in _naming_files(root):
        try:
            name = resolved(scalar.text or "", environ, path.parent)
        except BadReference:
            continue
        found.add(path.parent / name)
    return {file.absolute() for file in found}


def _all_scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
        return
    children = node.items if isinstance(node, Sequence) else node.fields.values()
    for child in children:
        yield from _all_scalars(child)


def _naming_files(root: Mapping) -> Iterator[Scalar]:
    yield from scalars(root, "services", "*", "tls", "ca_file")
    for scalar in scalars(root, "services", "*", "routes", "*", "policies", "*", "use"):
        file = (scalar.text or "").partition(":")[0]
        if file.endswith(".py"):
            yield Scalar(scalar.path, scalar.mark, file, file)


def _files_of_app(target: str) -> list[Path]:
    """The file of an `asgi:` target's module, where it lies in the working directory; if it is not
    there, those that it may be."""
    scheme, _, rest = target.partition(":")
    parts = rest.partition(":")[0].split(".")
    if scheme != "asgi" or not all(part.isidentifier() for part in parts):
        return []
    stem = Path(*parts)
    files = [stem / "__init__.py", stem.with_suffix(".py")]  # in the order of an import
    return [file for file in files if file.is_file()][:1] or files
