"""Help, version, exit codes: what holds for every command."""

import subprocess
import sys
import time
from typing import Any

import pytest
from typer.main import get_command

from tidegate import __version__
from tidegate.cli.application import app


def command_paths() -> list[list[str]]:
    root = get_command(app)
    paths: list[list[str]] = []
    for name, command in sorted(root.commands.items()):
        below = getattr(command, "commands", None)
        paths += [[name]] if below is None else [[name, inner] for inner in sorted(below)]
    return paths


@pytest.mark.parametrize("path", command_paths(), ids=" ".join)
def test_every_command_has_help_with_examples(run: Any, path: list[str]) -> None:
    helped = run(*path, "--help")
    assert helped.code == 0
    assert f"tidegate {' '.join(path)}" in helped.out.partition("Examples:")[2]


def test_the_version_is_printed(run: Any) -> None:
    assert run("--version").out == f"tidegate {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("serve", "--workers", "0"), ("keys", "create"), ("echo", "-p", "x")],
)
def test_a_wrong_command_line_is_exit_code_2(run: Any, arguments: tuple[str, ...]) -> None:
    wrong = run(*arguments)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err


def test_help_imports_neither_configuration_nor_gateway() -> None:
    """It answers at once; the time itself is the machine's."""
    code = (
        "import sys\n"
        "sys.argv = ['tidegate', '--help']\n"
        "from tidegate.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'pydantic', 'httptools', 'uvloop', 'tidegate.gateway', 'tidegate.store'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "quickstart" in done.stdout
    assert time.monotonic() - begun < 10
