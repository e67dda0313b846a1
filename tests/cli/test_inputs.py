"""Which configuration a command means, and what is said where there is none."""

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("command", [("keys", "list"), ("serve",)])
def test_without_a_file_all_ways_to_one_are_named(run: Any, command: tuple[str, ...]) -> None:
    refused = run(*command)
    assert (refused.code, refused.out) == (1, "")
    assert "./tidegate.yaml does not exist" in refused.err
    assert "`tidegate serve --to URL` needs none." in refused.err
    assert "serve.yaml" not in refused.err


@pytest.mark.parametrize("command", [("keys", "list"), ("serve",)])
@pytest.mark.parametrize("place", [".tidegate", "elsewhere"])
def test_the_file_that_serve_to_has_left_is_named(
    run: Any, command: tuple[str, ...], place: str
) -> None:
    Path(place).mkdir(mode=0o700)
    Path(place, "serve.yaml").write_text("version: 1\n")
    where = () if place == ".tidegate" else ("--data-dir", place)
    refused = run(*command, *where)
    assert refused.code == 1
    assert f"ran on {place}/serve.yaml: name it with -c {place}/serve.yaml" in refused.err
