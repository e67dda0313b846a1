"""Who is asked to do what a command says: the running gateway's API, or the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.served_admin_api import served_admin_api
from tidegate.store.gateways import Advertised, advertised


def listed(commands: Any) -> list[str]:
    return [key["name"] for key in commands.run("keys", "list", "--json").json]


def test_a_running_gateway_is_asked(commands: Any) -> None:
    with served_admin_api(commands.config, commands.data_dir) as asked:
        assert "in_file" in listed(commands)
    assert asked == ["GET /v1/keys 200"]


def test_a_gateway_on_another_file_than_the_one_that_was_named_is_not_asked(commands: Any) -> None:
    with served_admin_api(commands.config, commands.data_dir, config="/another.yaml") as asked:
        assert "in_file" in listed(commands)
    assert asked == []


@pytest.fixture(params=["needs its environment", "is half written", "is gone"])
def locked_out(request: pytest.FixtureRequest, commands: Any) -> Iterator[Any]:
    """The commands beside a gateway that runs, with a file that cannot be loaded from here."""
    written = commands.config.read_text()
    with served_admin_api(commands.config, commands.data_dir):
        if request.param == "is gone":
            commands.config.unlink()
        else:
            added = "oops: 1\n" if "half" in request.param else 'listen: {host: "${UPS}"}\n'
            commands.config.write_text(written + added)
        yield commands
        commands.config.write_text(written)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_gateway_that_runs_is_asked_whatever_has_become_of_its_file(
    locked_out: Any, run: Any, is_named: bool
) -> None:
    where = ["--data-dir", str(locked_out.data_dir)]
    where += ["--config", str(locked_out.config)] if is_named else []
    tenant = locked_out.tenant
    for command in (
        ("keys", "create", "-t", tenant, "-n", "ci"),
        ("keys", "list"),
        ("keys", "rotate", "-t", tenant, "-n", "ci"),
        ("keys", "revoke", "-t", tenant, "-n", "ci"),
        ("limits", "reset", "-t", tenant),
        ("cache", "purge", "-t", tenant),
        ("explain", "GET", "/open"),
    ):
        done = run(*command, *where)
        assert (done.code, done.err) == (0, ""), command


def test_where_the_api_does_not_answer_the_file_is_needed(commands: Any, run: Any) -> None:
    told = Advertised(str(commands.config), 1, url="http://127.0.0.1:1", traffic_url="http://x")
    commands.config.write_text("oops: 1\n")
    with advertised(commands.data_dir, told):
        refused = run("keys", "list", "--data-dir", str(commands.data_dir))
    assert refused.code == 1
    assert "oops" in refused.err


def test_where_the_token_is_another_the_store_is_asked(
    commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served_admin_api(commands.config, commands.data_dir) as asked:
        monkeypatch.setenv("TIDEGATE_ADMIN_TOKEN", "another-token-than-theirs")
        assert "in_file" in listed(commands)
    assert asked == ["GET /v1/keys 401"]


def test_where_nobody_listens_the_store_is_asked(commands: Any) -> None:
    with served_admin_api(commands.config, commands.data_dir, url="http://127.0.0.1:1"):
        assert "in_file" in listed(commands)


@pytest.mark.parametrize("told", [{}, {"store": "redis://elsewhere"}])
def test_the_running_gateway_is_found_and_asked_whatever_its_store(
    commands: Any, run: Any, told: Any
) -> None:
    with served_admin_api(commands.config, commands.data_dir, **told) as asked:
        found = run("keys", "list", "--json", "--data-dir", str(commands.data_dir))
    assert "in_file" in [key["name"] for key in found.json]
    assert asked == ["GET /v1/keys 200"]


def test_beside_a_file_that_is_another_the_one_of_the_gateway_is_named(
    commands: Any, run: Any
) -> None:
    Path("tidegate.yaml").write_text(commands.config.read_text().replace("open", "own"))
    where = ("--data-dir", str(commands.data_dir))
    with served_admin_api(commands.config, commands.data_dir):
        found = run("routes", "--json", *where)
    assert {route["name"] for route in found.json["routes"]} == {"open", "api"}
    assert found.err == f"The gateway that runs here uses {commands.config}, not ./tidegate.yaml.\n"
    alone = run("routes", "--json", *where)
    assert {route["name"] for route in alone.json["routes"]} == {"own", "api"}
    assert alone.err == ""


@pytest.mark.parametrize("command", [("explain", "GET", "/open"), ("keys", "list")])
def test_another_store_than_that_of_the_gateway_that_was_found_is_not_taken_for_it(
    commands: Any, run: Any, command: tuple[str, ...]
) -> None:
    told = Advertised(str(commands.config), 1, store="redis://elsewhere", url="http://127.0.0.1:1")
    with advertised(commands.data_dir, told):
        refused = run(*command, "--data-dir", str(commands.data_dir))
    assert (refused.code, refused.out) == (1, "")
    assert "has the store redis://elsewhere; from here it would be embedded" in refused.err
    assert "set REDIS_URL" in refused.err
