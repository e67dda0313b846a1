"""`tidegate config check` and `schema`, and how every command finds its configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

WRONG = "version: 1\nservices:\n  - {name: a, target: [http://x]}\nplans: {p: {rate: 5/x}}\n"


def test_a_valid_file_is_said_to_be_valid(run: Any, commands: Any) -> None:
    checked = run("config", "check", str(commands.config))
    assert checked.code == 0
    assert "is valid: 1 service, 2 routes, 1 plan, 1 tenant" in checked.out
    assert run("config", "check", str(commands.config), "--json").json["ok"] is True


def test_every_problem_of_a_wrong_file_is_printed(run: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WRONG)
    checked = run("config", "check", str(wrong))
    assert (checked.code, checked.out) == (1, "")
    assert "wrong.yaml:3" in checked.err
    assert "wrong.yaml:4" in checked.err
    told = run("config", "check", str(wrong), "--json")
    assert told.code == 1
    assert {problem["line"] for problem in told.json["problems"]} == {3, 4}


def test_the_file_is_found_by_argument_environment_or_name(
    run: Any, commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = run("config", "check")
    assert missing.code == 1
    assert "tidegate.yaml" in missing.err
    assert "TIDEGATE_CONFIG" in missing.err
    monkeypatch.setenv("TIDEGATE_CONFIG", str(commands.config))
    assert str(commands.config) in run("config", "check").out
    monkeypatch.delenv("TIDEGATE_CONFIG")
    Path("tidegate.yaml").write_text(commands.config.read_text())
    assert run("config", "check").out.startswith("tidegate.yaml is valid")


def test_the_schema_is_json_schema(run: Any) -> None:
    schema = json.loads(run("config", "schema").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "services" in schema["properties"]


def test_two_files_are_compared_in_words_without_secrets(
    run: Any, commands: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        commands.config.read_text()
        .replace("rate: 5/s", "rate: 7/s")
        .replace(f"value: {commands.tenant}", "value: another_secret")
    )
    said = [
        "plan small, limit steady: rate 5/second → 7/second",
        f"tenant {commands.tenant}, key in_file: value changed (it is not shown)",
    ]
    compared = run("config", "diff", str(commands.config), str(other))
    assert (compared.code, compared.out.splitlines()) == (0, said)
    as_json = run("config", "diff", str(commands.config), str(other), "--json")
    assert as_json.json == {"differences": said}
    same = run("config", "diff", str(other), str(other))
    assert same.out == "The two mean the same.\n"
    missing = run("config", "diff", str(other), str(tmp_path / "none.yaml"))
    assert (missing.code, missing.out) == (1, "")
    assert "none.yaml" in missing.err


def test_the_help_names_an_optional_argument_as_usual(run: Any) -> None:
    assert "config check [OPTIONS] [FILE]\n" in run("config", "check", "--help").out
