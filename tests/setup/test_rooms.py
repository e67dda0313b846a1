"""The contract of the rooms is really held: a forbidden import fails the check."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_rooms_as_they_are_keep_the_contract(copy: Path) -> None:
    checked = lint_imports(copy)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "room, imported",
    [
        ("http", "tidegate.config.schema"),
        ("config", "tidegate.store.store"),
        ("upstream", "tidegate.store.store"),
        ("identity", "tidegate.rate_limiter"),
        ("edge", "tidegate.store.store"),
        ("policies", "tidegate.gateway"),
    ],
)
def test_a_forbidden_import_fails_the_check(copy: Path, room: str, imported: str) -> None:
    (copy / "src" / "tidegate" / room / "trespass.py").write_text(f"import {imported}\n")
    checked = lint_imports(copy)
    assert checked.returncode == 1, checked.stdout
    assert f"tidegate.{room}.trespass -> {imported}" in checked.stdout


def test_a_room_without_a_place_fails_the_check(copy: Path) -> None:
    room = copy / "src" / "tidegate" / "drawer"
    room.mkdir()
    (room / "__init__.py").write_text("")
    checked = lint_imports(copy)
    assert checked.returncode == 1, checked.stdout
    assert "drawer" in checked.stdout
