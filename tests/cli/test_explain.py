"""`tidegate explain`: what it is told is checked before anything is asked."""

from typing import Any

import pytest

from tidegate.cli.advertised import Advertised, advertised


@pytest.mark.parametrize("target", ["api/v1/things", "", "localhost/api"])
def test_a_path_begins_with_a_slash(commands: Any, target: str) -> None:
    refused = commands.run("explain", "GET", target)
    assert (refused.code, refused.out) == (2, "")
    assert "a path begins with /" in refused.err


@pytest.mark.parametrize("target", ["/open", "http://localhost/open"])
def test_a_path_and_a_url_are_explained(commands: Any, target: str) -> None:
    told = commands.run("explain", "GET", target, "--json")
    assert told.code == 0, told.err
    assert told.json["route"] == "open"


def test_an_empty_key_is_said_to_be_empty(commands: Any) -> None:
    refused = commands.run("explain", "GET", "/api/v1/x", "--key", "")
    assert (refused.code, refused.out) == (2, "")
    assert "the key is empty" in refused.err


@pytest.mark.parametrize("command", [("explain", "GET", "/open"), ("keys", "list")])
def test_without_a_configuration_the_running_gateway_s_is_named(
    commands: Any, run: Any, command: tuple[str, ...]
) -> None:
    told = Advertised("http://127.0.0.1:1", str(commands.config), "embedded", 1)
    with advertised(commands.data_dir, told):
        refused = run(*command, "--data-dir", str(commands.data_dir))
    assert refused.code == 1
    file = commands.config
    assert f"a running gateway uses {file}: add --config {file}\n" in refused.err
