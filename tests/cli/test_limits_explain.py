"""`tidegate limits explain`, by the admin API and straight on the store."""

import re
from pathlib import Path
from typing import Any

import pytest

DOCUMENTED = Path(__file__).parents[2] / "docs" / "limits.md"


@pytest.fixture
def limited(commands: Any) -> Any:
    """As `commands`, with limits at several levels."""
    text = commands.config.read_text()
    text = text.replace(
        "  small: {rate: 5/s, burst: 10, quota: 1000/day}",
        "  small: {rate: 5/s, burst: 10, quota: 1000/day, routes: {api: {rate: 3/s}}}",
    )
    text = text.replace("plan: small, keys:", "plan: small, limits: LIMITS, keys:")
    text = text.replace("LIMITS", "[{name: daily, quota: null}, {name: own, rate: 9/s}]")
    commands.config.write_text(text)
    return commands


def test_a_key_is_told_what_applies_and_why(limited: Any) -> None:
    told = limited.run("limits", "explain", "--key", limited.tenant)
    assert told.code == 0, told.err
    assert told.out.startswith(f"Tenant {limited.tenant}, plan small, key in_file\n")
    steady = next(line for line in told.out.splitlines() if line.startswith("steady "))
    assert "3/second, burst 3" in steady
    assert f"{limited.config}:4" in steady
    assert "steady stands in place of 5/second, burst 10 of plan small" in told.out
    assert f"daily is taken away by tenant {limited.tenant}" in told.out
    assert "On route open, which needs no key:\n  no limits\n" in told.out


def test_key_and_names_and_api_and_store_say_the_same(limited: Any) -> None:
    from tests.cli.served_admin_api import served_admin_api

    def told() -> list[Any]:
        named = ("--tenant", limited.tenant, "--name", "in_file")
        asked = [limited.run("limits", "explain", "--key", limited.tenant, "--json"),
                 limited.run("limits", "explain", *named, "--json"),
                 limited.run("limits", "explain", *named, "--route", "api", "--json")]  # fmt: skip
        assert [one.code for one in asked] == [0, 0, 0], asked
        return [one.json for one in asked]

    from_store = told()
    assert from_store[0] == from_store[1]
    assert [one["routes"] for one in from_store[2]["routes"]] == [["api"]]
    (api,) = from_store[2]["routes"]
    assert [(rule["name"], rule["applies"]) for rule in api["limits"]] == [
        ("steady", True),
        ("daily", False),
        ("own", True),
    ]
    with served_admin_api(limited.config, limited.data_dir) as asked:
        assert told() == from_store
    assert asked == ["POST /v1/limits/explain 200"] * 3


def test_a_tenant_alone_is_told_what_its_keys_have(limited: Any) -> None:
    told = limited.run("limits", "explain", "-t", limited.tenant, "-r", "api")
    assert "any key that has no limits of its own" in told.out
    assert f"each key of {limited.tenant}, on route api" in told.out


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "say whose limits: --key KEY, or --tenant TENANT --name NAME for one of a tenant's"),
        (("--route", "api"), "or --tenant TENANT for what its keys have that say nothing of"),
        (("--key", "a", "--tenant", "b"), "by --key alone, or by --tenant and --name"),
        (("--name", "b"), "a key is its tenant's: say --tenant"),
        (("--key", "a", "--name", "b"), "a key is its tenant's: say --tenant"),
        (("--key", ""), "the key is empty"),
    ],
)
def test_what_makes_no_sense_is_refused(
    commands: Any, arguments: tuple[str, ...], words: str
) -> None:
    refused = commands.run("limits", "explain", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert words in " ".join(refused.err.replace("\u2502", " ").split())


def test_what_is_not_there_is_an_error_that_names_it(operated: Any) -> None:
    for arguments, words in (
        (("--tenant", "nobody"), "There is no tenant nobody"),
        (("--tenant", operated.tenant, "--name", "none"), "has no key none"),
        (("--tenant", operated.tenant, "--route", "none"), "the routes are open, api"),
    ):
        refused = operated.run("limits", "explain", *arguments)
        assert refused.code == 1
        assert words in refused.err


def test_an_unknown_key_is_an_error(operated: Any) -> None:
    refused = operated.run("limits", "explain", "--key", "nobodys")
    assert refused.code == 1
    assert refused.out == ""


def test_explain_says_who_said_each_limit(limited: Any) -> None:
    told = limited.run(
        "explain", "GET", "/api/v1/x", "--host", "api.example.com", "--key", limited.tenant
    )
    assert f"plan small on route api, {limited.config}:4" in told.out
    assert f"daily is taken away by tenant {limited.tenant}" in told.out


def test_the_documented_answer_is_that_of_the_documented_file(
    run: Any, valkey_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(
        r"```yaml\n(version: 1\nlimits: .*?)```"
        r".*?```console\n\$ tidegate (limits explain .*?)\n(.*?)```",
        DOCUMENTED.read_text(),
        re.DOTALL,
    )
    assert found is not None
    written, command, answer = found.groups()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI_KEY", "k3y")
    Path("tidegate.yaml").write_text(written)
    told = run(*command.split(), "--data-dir", str(valkey_dir))
    assert (told.code, told.out) == (0, answer), told.err
