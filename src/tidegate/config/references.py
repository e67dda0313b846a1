"""References in strings: `${VAR}`, `${VAR:-default}`, `${file:secrets/k}`; `$${` is a plain `${`.

As in a shell, a default also stands in for an empty variable. A file's path is relative to the
folder of the configuration, and the line end that closes the file is no part of the value. What a
reference brings is never itself searched for references.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 64 * 1024
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_FILE: Final = "file:"
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class BadReference(ValueError):
    """What is wrong with a reference, and what would be right; never what it refers to."""


def resolved(text: str, environ: Mapping[str, str], folder: Path) -> str:
    """Return `text` with every reference replaced; raise BadReference."""
    return _REFERENCE.sub(_replacement(environ, folder), text)


def holds_reference(text: str) -> bool:
    return any(match[0] != "$${" for match in _REFERENCE.finditer(text))


def files_named(text: str, folder: Path) -> list[Path]:
    """Return the paths of the files that `text` refers to, whether they are there or not."""
    inner = [match[1] or "" for match in _REFERENCE.finditer(text)]
    return [folder / name.removeprefix(_FILE) for name in inner if name.startswith(_FILE)]


def _replacement(environ: Mapping[str, str], folder: Path) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        inner = match[1] or ""
        if inner.startswith(_FILE):
            return _file_text(folder / inner.removeprefix(_FILE), match[0])
        variable = _VARIABLE.fullmatch(inner)
        if variable is None:
            raise BadReference(
                "a reference is ${VAR}, ${VAR:-default} or ${file:PATH}; write $${ for a plain ${"
            )
        value = environ.get(variable[1])
        if variable[2] is not None:
            return value or variable[2]
        if value is None:
            raise BadReference(
                f"{variable[1]} is not set; set it, or write ${{{variable[1]}:-default}}"
            )
        return value

    return replace


def _file_text(path: Path, reference: str) -> str:
    try:
        # A pipe or device would make loading wait, perhaps for ever.
        if not path.is_file():
            raise BadReference(f"{reference} names no file ({path})")
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise BadReference(f"{reference} is larger than {FILE_BYTES_MAX // 1024} KiB")
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadReference(f"{reference} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        if isinstance(error, BadReference):
            raise
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise BadReference(f"{reference} cannot be read: {reason}") from None
