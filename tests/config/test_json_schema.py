"""The JSON Schema describes what people may write: what loads is valid, most mistakes are not."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tidegate.config import config_json_schema, costs, limits, messages, schema
from tidegate.config.not_built import FIELDS

HERE = Path(__file__).parent
VALIDATOR = Draft202012Validator(config_json_schema())


class Words(yaml.SafeLoader):
    """YAML 1.2 as editors read it: yes, no, on, off are words."""


Words.yaml_implicit_resolvers = {
    letter: [
        rule for rule in rules if rule[0] not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:int")
    ]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Words.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(true|false)$"), list("tf"))
Words.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile("(0|[1-9][0-9]*)$"), list("0123456789")
)


def errors(path: Path) -> list[Any]:
    return list(VALIDATOR.iter_errors(yaml.load(path.read_text(), Words)))


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(config_json_schema())


@pytest.mark.parametrize("name", sorted(path.name for path in (HERE / "right").glob("*.yaml")))
def test_a_file_that_loads_is_valid(name: str) -> None:
    assert [error.message for error in errors(HERE / "right" / name)] == []


@pytest.mark.parametrize(
    "name",
    [
        "version_missing",
        "services_empty",
        "unknown_field_near_miss",
        "port_out_of_range",
        "timeout_without_unit",
        "rate_without_period",
        "rate_by_the_week",
        "limit_without_kind",
        "name_with_space",
        "plan_name_with_space",
        "auth_unknown",
        "not_built_jwt",
        "not_built_route_fields",
        "list_is_a_word",
    ],
)
def test_a_mistake_of_form_is_underlined(name: str) -> None:
    assert errors(HERE / "mistakes" / f"{name}.yaml")


def test_fields_carry_their_descriptions() -> None:
    route = config_json_schema()["$defs"]["Route"]["properties"]
    assert route["paths"]["description"] == "Prefixes, on segment boundaries."


def test_every_model_has_its_place_for_did_you_mean() -> None:
    placed = {shape for shapes in messages.SHAPES.values() for shape in shapes}
    models = {
        model
        for module in (schema, limits, costs)
        for name, model in vars(module).items()
        if isinstance(model, type) and issubclass(model, schema.Model) and model is not schema.Model
        if not name.startswith("_")
    }
    assert placed == models


def test_nothing_that_is_built_is_called_not_built() -> None:
    for place, names in FIELDS.items():
        assert place in messages.SHAPES
        assert not names & set(messages.known_fields(place))
