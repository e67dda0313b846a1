"""`tidegate init`: what it writes is right as it stands, and every hint in it too."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

HINT = re.compile(r"^( *)# ([a-z_]+: (?:[\[{]|true|[0-9]).*)$", re.MULTILINE)


def test_what_it_writes_passes_config_check(run: Any) -> None:
    written = run("init")
    assert written.code == 0
    checked = run("config", "check")
    assert checked.code == 0
    assert checked.out == "tidegate.yaml is valid: 1 service, 2 routes, 2 plans, 1 tenant\n"


def test_an_editor_finds_the_schema_beside_the_file(run: Any) -> None:
    run("init", "gateway.yaml")
    text = Path("gateway.yaml").read_text()
    first, *_ = text.splitlines()
    name = first.removeprefix("# yaml-language-server: $schema=")
    schema = json.loads(Path(name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(text), schema)


def test_every_commented_setting_works_once_it_is_uncommented(run: Any) -> None:
    run("init")
    path = Path("tidegate.yaml")
    text, count = HINT.subn(r"\1\2", path.read_text())
    assert count == text.count("extends") + 6
    path.write_text(text)
    Path("policies").mkdir()
    Path("policies/own.py").write_text("def build():\n    return lambda request, call_next: None\n")
    checked = run("config", "check")
    assert checked.code == 0, checked.err
    assert "3 plans" in checked.out


def test_it_writes_over_nothing_unless_told_to(run: Any) -> None:
    path = Path("tidegate.yaml")
    path.write_text("mine")
    refused = run("init")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "Error: tidegate.yaml is there already; --force writes over it\n"
    assert path.read_text() == "mine"
    assert run("init", "--force").code == 0
    assert "services:" in path.read_text()


def test_a_schema_that_differs_is_written_over_only_when_told_to(run: Any) -> None:
    schema = Path("tidegate.schema.json")
    schema.write_text("mine")
    refused = run("init")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "Error: tidegate.schema.json is there already and differs; --force writes over it\n"
    )
    assert schema.read_text() == "mine"
    assert not Path("tidegate.yaml").exists()
    assert run("init", "--force").code == 0
    assert run("init", "another.yaml").code == 0


def test_a_place_that_cannot_be_written_is_said_in_one_line(run: Any) -> None:
    refused = run("init", "nowhere/tidegate.yaml")
    assert refused.code == 1
    assert refused.err == (
        "Error: nowhere/tidegate.yaml cannot be written: No such file or directory\n"
    )


def test_it_says_what_comes_next_with_the_file_s_name(run: Any) -> None:
    assert "  tidegate serve --dev\n" in run("init").out
    said = run("init", "own.yaml").out
    assert "  tidegate config check own.yaml\n" in said
    assert "  tidegate keys create --config own.yaml --tenant acme" in said
