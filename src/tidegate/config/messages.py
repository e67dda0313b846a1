"""Turn what the schema refused into words: what was found, what would be right.

pydantic says which rule was broken and where; the words are ours, made from the tree, because
pydantic's would quote values (which may be secrets) and speak of Python's types.
"""

import json
import re
from collections.abc import Sequence as Parts
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tidegate.config import costs, limit_mistakes, limits, not_built, schema
from tidegate.config.nodes import (
    Mapping,
    Node,
    Sequence,
    found,
    joined,
    may_be_quoted,
    text_of,
)
from tidegate.config.problems import Mark, Problems, did_you_mean
from tidegate.config.unbuilt import place_below, place_of_items
from tidegate.config.values import NotBuilt, Wrong

SHAPES: Final[dict[str, tuple[type[BaseModel], ...]]] = {
    "": (schema.Config,),
    "listen": (schema.Listen,),
    "listen.bounds": (schema.EdgeBounds,),
    "admin": (schema.Admin,),
    "redis": (schema.Redis,),
    "cache": (schema.CacheStore,),
    "usage": (schema.Usage,),
    "decisions": (schema.Decisions,),
    "webhooks": (schema.Webhooks,),
    "plans.*": (schema.Plan,),
    "plans.*.routes.*": (schema.PlanRoute,),
    "limits[]": tuple(limits.KINDS.values()),
    "plans.*.allow[]": (schema.Allowed,),
    "tenants[]": (schema.Tenant,),
    "tenants[].keys[]": (schema.Key,),
    "services[]": (schema.Service,),
    "services[].timeouts": (schema.Timeouts,),
    "services[].pool": (schema.Pool,),
    "services[].tls": (schema.Tls,),
    "services[].routes[]": (schema.Route,),
    "services[].routes[].cost": (costs.HeaderCost, costs.FunctionCost),
    "services[].routes[].costs.*": (costs.UnitCost,),
    "services[].routes[].costs.*.reserve": (costs.HeaderCost, costs.FunctionCost),
    "services[].routes[].costs.*.settle": (costs.HeaderSettlement, costs.JsonSettlement),
    "services[].routes[].cache": (schema.Cache,),
    "services[].routes[].policies[]": (schema.CustomPolicy,),
}
"""The fields that may stand at each place, for "did you mean"."""

LIMITS: Final = "limits[]"
_TAGS: Final = frozenset(limits.KINDS) | costs.COST_TAGS
_SHORT_LIMITS: Final = ("rate", "burst", "quota")
_SHORT_FIELDS: Final = {
    "plans.*": ("extends", *_SHORT_LIMITS),
    "plans.*.routes.*": _SHORT_LIMITS,
}
_UNKNOWN: Final = "unknown field; write"
_IN_PLACE_OF: Final = {
    ("services[].tls", "verify"): "verification cannot be switched off; name a ca_file",
    ("services[].tls", "insecure"): "verification cannot be switched off; name a ca_file",
    ("redis", "cluster"): f"{_UNKNOWN} url: redis+cluster://HOST:PORT,HOST:PORT",
    ("redis", "nodes"): f"{_UNKNOWN} url: redis+cluster://HOST:PORT,HOST:PORT",
    ("redis", "sentinel"): f"{_UNKNOWN} url: redis+sentinel://HOST:PORT,HOST:PORT/NAME",
    ("redis", "username"): f"{_UNKNOWN} it into url: redis://USERNAME:PASSWORD@HOST:PORT",
    ("redis", "password"): f"{_UNKNOWN} it into url: redis://:PASSWORD@HOST:PORT",
    ("redis", "tls"): f"{_UNKNOWN} url: rediss://HOST:PORT",
    ("redis", "on_failure"): f"{_UNKNOWN} on_store_failure of a plan or route",
    ("services[].routes[]", "rate_limit"): (
        f"{_UNKNOWN} limits: [{{name: route, rate: 50/s, per: route}}]"
    ),
}
"""What is right where a field is known by another name, or never will be."""
_SHAPES_WANTED: Final = {
    "tuple_type": "write a list",
    "dict_type": "write a mapping",
    "string_type": "write a single value",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_parsing_size": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number and a unit, such as 50ms, 10s, 2m",
    "is_instance_of": "write a count and a period, such as 5/s",
}
_PERCENT: Final = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%\s*")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_NAME_RULE: Final = (
    "a name has letters, digits, _ . - and begins with a letter or digit (at most 64)"
)


def report(error: ValidationError, root: Mapping, problems: Problems) -> None:
    for detail in error.errors(include_url=False, include_input=False):
        if not _is_echo(detail, root):
            problems.add(*_told(detail, root))


def known_fields(place: str) -> list[str]:
    own = [
        field.alias or name
        for shape in SHAPES.get(place, ())
        for name, field in shape.model_fields.items()
    ]
    known = dict.fromkeys([*own, *_SHORT_FIELDS.get(place, ())])
    return [name for name in known if name not in not_built.FIELDS.get(place, ())]


def _is_echo(detail: Any, root: Mapping) -> bool:
    """Only follows from another problem: a default made from a field that is wrong; a list that
    is too short because pydantic counts the items that are right."""
    if detail["type"] == "too_short":
        node, _, _ = _located(root, detail["loc"])
        return isinstance(node, Sequence) and bool(node.items)
    if detail["type"] == "union_tag_invalid":
        return True  # a null at the top, where limit_checks tells that it takes nothing away
    return bool(detail["type"] == "default_factory_not_called")


def _told(detail: Any, root: Mapping) -> tuple[Mark, str, str]:
    kind: str = detail["type"]
    node, place, rest = _located(root, detail["loc"])
    if kind == "extra_forbidden":
        return _unknown_field(root, detail["loc"])
    if kind == "missing":
        name = str(rest[-1])
        return node.mark, joined(node.path, name), _missing(name)
    if rest and rest[-1] == "[key]":
        return _wrong_key(root, detail["loc"], detail.get("ctx", {}).get("error"))
    if kind == "union_tag_not_found" and place != LIMITS:
        right = "write {header: X-Tokens} or {json: usage.total_tokens}"
        return node.mark, node.path, f"found {found(node)}; {right}"
    if kind == "union_tag_not_found":
        return _no_kind_of_limit(node)
    context = detail.get("ctx", {})
    node = _to_blame(node, context.get("error"))
    return node.mark, node.path, wrong_value(kind, context, node, place)


def _to_blame(node: Node, cause: object) -> Node:
    if isinstance(cause, Wrong) and isinstance(node, Mapping):
        return next((node.fields[name] for name in cause.fields if name in node.fields), node)
    return node


def _wrong_key(root: Mapping, location: Parts[str | int], cause: object) -> tuple[Mark, str, str]:
    """A name that is a mapping's key, such as a plan's."""
    parent, _, _ = _located(root, location[:-2])
    name = str(location[-2])
    mark = parent.key_marks.get(name, parent.mark) if isinstance(parent, Mapping) else parent.mark
    shown = json.dumps(name[:80], ensure_ascii=False)
    right = _NAME_RULE
    if isinstance(cause, Wrong):
        right = f"{cause}: {cause.better}" if cause.better else f"{cause}"
    return mark, joined(parent.path, name), f"found {shown}; {right}"


def wrong_value(kind: str, context: dict[str, Any], node: Node, place: str) -> str:
    """Say what was found and what would be right; `kind` and `context` are pydantic's."""
    cause = context.get("error")
    if isinstance(cause, NotBuilt):
        return str(cause)
    if kind == "literal_error":
        return _wrong_word(context, node, place)
    if kind == "value_error":
        better = cause.better if isinstance(cause, Wrong) and may_be_quoted(node) else None
        right = f"{cause}: {better}" if better else f"{cause}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        bound = context["ge"] if "ge" in context else context["le"]
        bound = int(bound) if bound == int(bound) else bound
        right = f"write at {'least' if 'ge' in context else 'most'} {bound}"
    elif kind == "greater_than":
        right = f"write more than {context['gt']:g}"
    elif kind == "string_pattern_mismatch":
        right = _NAME_RULE
    elif kind in ("too_short", "string_too_short"):
        right = "write at least one"
    elif kind == "too_long":
        right = f"write at most {context['max_length']}"
    elif kind == "float_parsing" and (share := _share(node)):
        right = f"write {share}"
    elif kind == "model_type":
        right = f"write a mapping of {', '.join(known_fields(place))}"
    else:
        right = _SHAPES_WANTED.get(kind, "this is no value for the field")
        if kind == "tuple_type" and place.rpartition(".")[2] == "limits":
            right = "write a list of limits: [{name: steady, rate: 5/s}]"
        elif kind == "tuple_type" and may_be_quoted(node) and found(node) != "nothing":
            right = f"write a list: [{_in_a_list(node)}]"
    return f"found {found(node)}; {right}"


def _share(node: Node) -> str:
    """Return what `80%` would be as a number, if it is that and may be quoted."""
    percent = _PERCENT.fullmatch(text_of(node) or "")
    return f"{float(percent[1]) / 100:g}" if percent and may_be_quoted(node) else ""


def _in_a_list(node: Node) -> str:
    text = text_of(node) or ""
    return text if _NUMBER.fullmatch(text) else found(node)


def _wrong_word(context: dict[str, Any], node: Node, place: str) -> str:
    word = getattr(node, "text", None) or ""
    if word in not_built.VALUES.get(place, ()):
        return not_built.words(f"{place.rpartition('.')[2].removesuffix('[]')}: {found(node)}")
    expected = str(context.get("expected", "")).replace("'", "")
    if place == "services[].routes[].auth[]":
        expected += " or none"
    elif place == f"{LIMITS}.algorithm":  # the other one has chosen another kind
        expected = limit_mistakes.ALGORITHMS
    words = expected.replace(",", " ").split()
    hint = did_you_mean(word, [w for w in words if w != "or"]) if may_be_quoted(node) else ""
    return f"found {found(node)}; write {expected}{hint}"


def _missing(name: str) -> str:
    sample = {
        "version": "version: 1",
        "services": "services: [{name: …, targets: […], routes: […]}]",
        "targets": "targets: [http://127.0.0.1:9000]",
        "routes": "routes: [{name: …, paths: […]}]",
    }.get(name, f"{name}: …")
    return f"the field is missing; write {sample}"


def _unknown_field(root: Mapping, location: Parts[str | int]) -> tuple[Mark, str, str]:
    parent, place, _ = _located(root, location[:-1])
    name = str(location[-1])
    mark = parent.key_marks.get(name, parent.mark) if isinstance(parent, Mapping) else parent.mark
    path = joined(parent.path, name)
    if (place, name) in _IN_PLACE_OF:
        return mark, path, _IN_PLACE_OF[place, name]
    if name in not_built.FIELDS.get(place, ()):
        return mark, path, not_built.words(f"the field {name}")
    if place == LIMITS and (belongs := limit_mistakes.of_another_kind(name)):
        return mark, path, belongs
    known = known_fields(place)
    if name in known:
        return mark, path, "this does not go with the other fields here"
    hint = did_you_mean(name, known) or _elsewhere(name) or f"; known here: {', '.join(known)}"
    return mark, path, f"unknown field{hint}"


def _elsewhere(name: str) -> str:
    places = [place for place in SHAPES if place and name in known_fields(place)]
    return f"; it belongs to {' or '.join(places[:3])}" if places and len(name) > 2 else ""


def _no_kind_of_limit(node: Node) -> tuple[Mark, str, str]:
    if isinstance(node, Mapping):
        known = known_fields(LIMITS)
        for name in node.fields:
            if name not in known:
                mark, path = node.key_marks[name], joined(node.path, name)
                if name in not_built.FIELDS.get(LIMITS, ()):
                    return mark, path, not_built.words(f"the field {name}")
                return mark, path, limit_mistakes.unknown_field(name, text_of(node, name), known)
        return node.mark, node.path, limit_mistakes.NO_KIND
    return node.mark, node.path, f"found {found(node)}; write a limit: {{name: steady, rate: 5/s}}"


def _located(root: Mapping, location: Parts[str | int]) -> tuple[Node, str, list[str | int]]:
    """Follow pydantic's location: the node, its place in the schema, and what was not there.

    The names of union members stand in the location without being in the tree.
    """
    node: Node = root
    place = ""
    rest: list[str | int] = []
    for part in location:
        if isinstance(node, Mapping) and isinstance(part, str) and part in node.fields and not rest:
            node = node.fields[part]
            place = place_below(place, part)
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            place = place_of_items(place)
        elif part not in _TAGS:
            rest.append(part)
    return node, place, rest
