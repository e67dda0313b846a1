"""Who is asked to do what a command says: the running gateway's API, or the store."""

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


@pytest.mark.parametrize("told", [{"config": "/another.yaml"}, {"store": "redis://elsewhere"}])
def test_a_gateway_on_another_file_or_store_is_not_asked(commands: Any, told: Any) -> None:
    with served_admin_api(commands.config, commands.data_dir, **told) as asked:
        assert "in_file" in listed(commands)
    assert asked == []


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
