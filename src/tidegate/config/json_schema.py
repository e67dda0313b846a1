"""The JSON Schema of the configuration as people write it, for editors and `config schema`.

Made from the checked models; then what only the loader knows is laid over it: references in any
value, units, short forms, `extends`, `null`, and truths in YAML 1.1's words. An editor must not
underline what loads, so it is more lenient than the loader (only a number in quotes, or a name of
digits alone, is called wrong although it loads).
"""

from typing import Any, Final

from tidegate.config import not_built
from tidegate.config.limits import KIND_FIELDS
from tidegate.config.messages import SHAPES
from tidegate.config.schema import Config

Schema = dict[str, Any]

_REFERENCE: Final[Schema] = {"type": "string", "pattern": r"\$\{[^{}]+\}"}
_NULL: Final[Schema] = {"type": "null"}
_YES_NO: Final[Schema] = {"enum": ["yes", "no", "on", "off"]}
_RESTRICTIONS: Final = frozenset(
    ("pattern", "enum", "const", "minimum", "maximum", "minLength", "maxLength")
)


def config_json_schema() -> Schema:
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    _without_what_is_not_built(definitions)
    _with_limits_and_short_forms(definitions)
    _with_short_route_forms(definitions["Route"]["properties"])
    sections = schema["properties"]
    sections["plans"]["additionalProperties"] = False
    for name in sections.keys() - set(schema["required"]):
        # A section whose entries are all commented out.
        sections[name] = {"anyOf": [sections[name], _NULL]}
    sections["admin"]["anyOf"] += [{"type": "boolean"}, _YES_NO]
    written: Schema = _with_references(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **written,
        "title": "Tidegate configuration",
    }


def _without_what_is_not_built(definitions: Schema) -> None:
    for place, names in not_built.FIELDS.items():
        for shape in SHAPES[place]:
            properties = definitions.get(shape.__name__, {}).get("properties", {})
            for name in names & properties.keys():
                del properties[name]


def _with_limits_and_short_forms(definitions: Schema) -> None:
    bucket, quota, plan = (definitions[name] for name in ("TokenBucket", "Quota", "Plan"))
    rate_value, quota_value = bucket["properties"]["rate"], quota["properties"]["quota"]
    burst_value = dict(bucket["properties"]["burst"])
    definitions["NoLimit"]["anyOf"] = [{"required": [field]} for field in KIND_FIELDS]
    plan["description"] = "Limits by name; rate, burst and quota are short for `steady` and `daily`"
    plan["properties"]["allow"] = _with_short_allow(plan["properties"]["allow"])
    allowed = definitions["Allowed"]["properties"]
    allowed["methods"] = {"anyOf": [allowed["methods"], allowed["methods"]["items"]]}
    short = {
        "rate": {"anyOf": [rate_value, _NULL]},
        "burst": burst_value,
        "quota": {"anyOf": [quota_value, _NULL]},
    }
    extends = {"type": "string", "description": "The plan whose limits this one starts from"}
    plan["properties"] |= {"extends": extends, **short}
    definitions["PlanRoute"]["properties"] |= short


def _with_short_allow(allow: Schema) -> Schema:
    """A name, a list of names, or a mapping from names to methods; null lifts the parent's."""
    listed = next(choice for choice in allow["anyOf"] if choice.get("type") == "array")
    name: Schema = {"type": "string"}
    methods = {"anyOf": [{"type": "array", "items": name}, name, _NULL]}
    entries = {**listed, "minItems": 1, "items": {"anyOf": [listed["items"], name]}}
    by_name = {"type": "object", "additionalProperties": methods}
    return {
        "anyOf": [entries, name, by_name, _NULL],
        "description": "The routes that callers on this plan may call; left out: every route",
    }


def _with_short_route_forms(route: Schema) -> None:
    one = route["auth"]["items"]
    route["auth"] = {
        "anyOf": [{"const": "none"}, one, {**route["auth"], "minItems": 1}],
        "description": "How callers prove who they are; none asks for nothing",
    }
    seconds = {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(us|ms|s|m|h|d)\s*$"}
    route["cache"]["anyOf"] += [{"type": "boolean"}, _YES_NO, {"enum": ["none", 0]}, seconds]


def _with_references(node: Any) -> Any:
    """Allow a reference wherever a value is bound to a type or a pattern."""
    if isinstance(node, list):
        return [_with_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "oneOf" in node:  # a reference may stand for what tells one from the other
        node = {**node, "anyOf": node["oneOf"]}
        del node["oneOf"]
    node = {
        name: inner if name in ("default", "examples", "enum", "const") else _with_references(inner)
        for name, inner in node.items()
        if name != "title" or not isinstance(inner, str)
    }
    if "anyOf" in node:
        return {**node, **_any_of(node["anyOf"])}
    is_bound = node.get("type") in ("boolean", "integer") or _RESTRICTIONS & node.keys()
    if not is_bound or node == _REFERENCE:
        return node
    notes = {name: node.pop(name) for name in ("default", "description") if name in node}
    others = [_YES_NO, _REFERENCE] if node.get("type") == "boolean" else [_REFERENCE]
    return {**_any_of([node, *others]), **notes}


def _any_of(choices: list[Schema]) -> Schema:
    """Join choices within choices, each once."""
    flat: list[Schema] = []
    for choice in choices:
        for one in choice["anyOf"] if choice.keys() == {"anyOf"} else [choice]:
            if one not in flat:
                flat.append(one)
    return {"anyOf": flat}
