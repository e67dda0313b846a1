"""`tidegate explain`: what it is told is checked before anything is asked."""

from typing import Any

import pytest

from tidegate.cli.advertised import Advertised, advertised
from tidegate.cli.inputs import shown_store
from tidegate.config import load


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


def test_without_a_configuration_that_of_the_running_gateway_is_asked(
    commands: Any, run: Any
) -> None:
    where = ("--data-dir", str(commands.data_dir))
    store = shown_store(load(commands.config), commands.data_dir)
    with advertised(commands.data_dir, Advertised(str(commands.config), 1, store=store)):
        told = run("explain", "GET", "/open", "--json", *where)
    assert told.json["route"] == "open"
    refused = run("explain", "GET", "/open", *where)
    assert refused.code == 1
    assert "There is no configuration" in refused.err
