"""What commands print on a terminal, and what they print into a pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "tidegate.yaml"


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run a command on a pseudo-terminal of its own; return exit code and all it printed."""
    ours, theirs = os.openpty()
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    environ.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tidegate", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environ,
    )  # fmt: skip
    os.close(theirs)
    printed = b""
    try:
        while piece := os.read(ours, 65536):
            printed += piece
    except OSError:
        pass  # how Linux tells that the other side is closed
    finally:
        os.close(ours)
    return process.wait(), printed.decode()


@pytest.mark.parametrize(
    "arguments, told",
    [(("routes", "--config", str(EXAMPLE)), "/api/v1/*"), (("serve", "--help"), "Examples")],
    ids=["table", "help"],
)
def test_a_terminal_gets_style_and_a_pipe_plain_text(arguments: tuple[str, ...], told: str) -> None:
    code, styled = on_a_terminal(*arguments)
    assert code == 0
    assert told in styled
    assert "\x1b[" in styled
    plain = subprocess.run(
        [sys.executable, "-P", "-m", "tidegate", *arguments], capture_output=True, check=True
    ).stdout.decode()
    assert told in plain
    assert "\x1b" not in plain


def test_an_error_is_red_on_a_terminal() -> None:
    code, printed = on_a_terminal("config", "check", "missing.yaml")
    assert code == 1
    assert "\x1b[1;31mError:\x1b[0m" in printed


def test_json_stays_json_on_a_terminal() -> None:
    code, printed = on_a_terminal("routes", "--config", str(EXAMPLE), "--json")
    assert code == 0
    assert "\x1b" not in printed
