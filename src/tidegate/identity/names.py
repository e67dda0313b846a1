"""Names of tenants, plans and keys: they are parts of store keys and go upstream in headers."""

import re
from typing import Final

from tidegate.identity.errors import InvalidObject

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""The pattern of the configuration's names: no `/`, which parts tenant from key in the index."""


def checked_name(kind: str, name: str) -> str:
    """Return `name`; raise InvalidObject if no `kind` can be called that."""
    if _NAME.fullmatch(name) is None:
        raise InvalidObject(
            f"The name of a {kind} is 1 to 64 letters, digits, `_`, `.` or `-`, "
            "and starts with a letter or digit"
        )
    return name
