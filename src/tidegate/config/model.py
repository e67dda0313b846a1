"""The base of all settings: checked once, never changed, and aware of the references it was from.

What a reference brings may be a secret, so whoever shows a setting shows what stands in the file
(`as_written`). Kept beside the checked values, not among them: a configuration is the same
wherever its values came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretStr
from pydantic.fields import FieldInfo

from tidegate.config import nodes


@dataclass(frozen=True, slots=True)
class Written:
    """Any two are equal, so that they never make two configurations differ."""

    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )
    _written: Written = PrivateAttr(default_factory=Written)

    def as_written(self, name: str) -> Any:
        """Return a field's value, with each reference in the place of what it brought.

        None where it was left out and follows from other fields, which may refer to something. A
        key, which is not shown in any case, comes as it is.
        """
        if name not in self.model_fields_set and _is_derived(type(self).model_fields[name]):
            return None
        return self._written.fields.get(name, getattr(self, name))

    def note_references(self, node: nodes.Mapping) -> None:
        """Keep what `node`, of which this was made, refers to: once, by the loader."""
        written_as = {name: one.alias or name for name, one in type(self).model_fields.items()}
        nodes_of = {
            name: node.fields[key] for name, key in written_as.items() if key in node.fields
        }
        values = {name: getattr(self, name) for name in nodes_of}
        written = {name: _as_written(value, nodes_of[name]) for name, value in values.items()}
        referring = {name: text for name, text in written.items() if text != values[name]}
        if referring:
            self._written = Written(referring)


def _is_derived(field: FieldInfo) -> bool:
    return bool(field.default_factory_takes_validated_data)


def _as_written(value: Any, node: nodes.Node) -> Any:
    if isinstance(node, nodes.Scalar):
        return node.shown if node.is_referred and not isinstance(value, SecretStr) else value
    if isinstance(node, nodes.Mapping):
        if isinstance(value, Model):
            value.note_references(node)
        elif isinstance(value, dict):
            for name, inner in node.fields.items():
                _as_written(value[name], inner)
    elif isinstance(value, tuple):
        return tuple(map(_as_written, value, node.items))
    return value
