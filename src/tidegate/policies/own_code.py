"""Finds a function of the user's own: `policies/add_header.py:build` or `package.module:build`.

All of it happens while the snapshot is compiled, so a mistake is a load error and never a failed
request.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tidegate.config.raised import in_words


class PolicyNotLoaded(Exception):
    """Code of the user's own cannot be loaded; the message names the entry and the fix."""


def function_of(
    use: str, unnamed: str, directory: Path, what: str = "policy"
) -> Callable[..., Any]:
    """Return the function that `use` names, or the one called `unnamed` where it names none.

    A relative file is looked for beside the configuration, in `directory`. Raises PolicyNotLoaded.
    """
    place, _, attribute = use.partition(":")
    attribute = attribute or unnamed
    try:
        module = (
            _module_of_file(directory / place)
            if place.endswith(".py")
            else importlib.import_module(place)
        )
    except FileNotFoundError as error:
        raise PolicyNotLoaded(f"{what} `{use}`: no file {directory / place}") from error
    except Exception as error:
        raise PolicyNotLoaded(f"{what} `{use}`: {in_words(error)}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise PolicyNotLoaded(f"{what} `{use}`: it has no function `{attribute}`")
    return function  # type: ignore[no-any-return]


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(path)
    spec = importlib.util.spec_from_file_location(f"tidegate_policy_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
