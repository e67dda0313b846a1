"""The types of what clients write and read, shared by the routers.

Bodies are strict: unknown fields are refused, and a number in quotes is not a number (`5.0` is the
whole number 5, as JSON Schema has it). Names have
the configuration's pattern. Times are whole seconds since 1970, on the store's clock.
"""

from typing import Annotated, Any, Final, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
KEY_ID_PATTERN: Final = r"^key_[0-9A-Za-z]{12}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
NameInPath = Annotated[str, Path(pattern=NAME_PATTERN)]
KeyIdInPath = Annotated[str, Path(pattern=KEY_ID_PATTERN)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Origin = Literal["file", "api"]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


AS_WHOLE: Final = BeforeValidator(_whole)
"""Last in the annotation of a whole number, so that its bounds stay in the schema."""


class Body(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Shown(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ShownObject(Shown):
    """An object of the file or of the API. What the file says is changed in the file alone."""

    origin: Origin
    defined_in: str | None
    """The place in the file; null for what the API made."""
    created_at: int | None
    """Null for what the file says."""
