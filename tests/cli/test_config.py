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


OWN = """\
from pydantic import BaseModel

print("imported")

class Settings(BaseModel):
    name: str

def build(settings: Settings):
    async def policy(request, call_next):
        return await call_next(request)
    return policy
"""
NAMES_CODE = """\
version: 1
services:
  - name: away
    targets: ["asgi:no_such_module_here:app"]
    routes:
      - name: one
        auth: none
        policies:
          - {use: own.py, settings: {nme: x-a}}
          - {use: own.py, settings: {name: x-a}}
          - {use: torn.py}
"""


def test_what_serve_would_refuse_of_the_users_own_code_is_a_problem(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "names_code.yaml"
    path.write_text(NAMES_CODE)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "torn.py").write_text("boom(\n")
    checked = run("config", "check", str(path))
    assert (checked.code, checked.out) == (1, "")
    assert "3 problems" in checked.err
    told = run("config", "check", str(path), "--json")
    assert told.code == 1
    found = {problem["line"]: problem for problem in told.json["problems"]}
    assert set(found) == {4, 9, 11}
    assert found[4]["field"] == "services[0].targets[0]"
    assert "there is no module no_such_module_here" in found[4]["message"]
    assert found[9]["field"] == "services[0].routes[0].policies[0]"
    assert "settings.name: Field required" in found[9]["message"]
    assert "settings.nme" in found[9]["message"]
    assert "'(' was never closed" in found[11]["message"]


def test_a_cost_function_is_loaded_as_serve_loads_it(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "costs.yaml"
    text = "\n".join(
        [
            "version: 1",
            "services:",
            "  - name: s",
            "    targets: [http://127.0.0.1:9000]",
            "    routes:",
            "      - name: r",
            "        cost:",
            '          function: "costs.py:WHICH"',
        ]
    )
    (tmp_path / "costs.py").write_text(
        "def cost(request): return 1\nasync def waits(request): return 1\n"
    )
    path.write_text(text.replace("WHICH", "cost"))
    assert run("config", "check", str(path)).code == 0
    path.write_text(text.replace("WHICH", "waits"))
    told = run("config", "check", str(path), "--json")
    (problem,) = told.json["problems"]
    assert (told.code, problem["line"]) == (1, 8)
    assert problem["field"] == "services[0].routes[0].cost.function"
    assert "it is `async`" in problem["message"]


def test_functions_that_estimate_are_loaded_too(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text(
        "version: 1\nservices:\n  - name: s\n    targets: [http://127.0.0.1:9000]\n    routes:\n"
        "      - name: r\n        costs:\n          tokens:\n            reserve:\n"
        "              function: costs.py:estimate\n"
    )
    (tmp_path / "costs.py").write_text("def cost(request): return 1\n")
    (problem,) = run("config", "check", str(path), "--json").json["problems"]
    assert problem["line"] == 10
    assert problem["field"] == "services[0].routes[0].costs.tokens.reserve.function"
    assert "it has no function `estimate`" in problem["message"]


def test_code_that_serve_takes_is_valid_and_what_it_prints_is_no_answer(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "names_code.yaml"
    text = NAMES_CODE.replace("{nme:", "{name:").replace("          - {use: torn.py}\n", "")
    path.write_text(text.replace("asgi:no_such_module_here:app", "http://127.0.0.1:9000"))
    (tmp_path / "own.py").write_text(OWN)
    assert run("config", "check", str(path), "--json").json == {"ok": True, "problems": []}


def test_a_ca_file_that_holds_no_certificate_is_a_problem(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(
        "version: 1\nservices:\n"
        "  - {name: a, targets: [https://a.example], tls: {ca_file: ca.pem},\n"
        "     routes: [{name: r, auth: none}]}\n"
    )
    (tmp_path / "ca.pem").write_text("nothing")
    checked = run("config", "check", str(path))
    assert checked.code == 1
    assert "gate.yaml:3" in checked.err
    assert "ca.pem is not usable" in checked.err


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
