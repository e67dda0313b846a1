"""`make setup` says in one line what a machine lacks; make's own end ends what it started."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("make", "sh", "touch", "dirname", "env")


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the tools that every machine with make has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


def stub_python(folder: Path, refused: str, answer: str = "") -> None:
    """A python3 that fails every `-c` program with `refused` in it, and passes on the rest."""
    script = folder / "python3"
    script.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *{refused}*) echo "{answer}"; exit 1;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)


def setup_errors(path: Path, tmp_path: Path) -> list[str]:
    run = subprocess.run(
        ["make", "setup", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        env={"PATH": str(path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert not (tmp_path / "venv" / ".run-ready").exists()
    return [line for line in run.stderr.splitlines() if not line.startswith("make")]


def test_without_python_setup_says_what_to_install(bare_path: Path, tmp_path: Path) -> None:
    (error,) = setup_errors(bare_path, tmp_path)
    assert "python3 not found" in error
    assert "3.11" in error
    assert "apt install python3 python3-venv" in error


def test_an_old_python_is_named_with_its_version(bare_path: Path, tmp_path: Path) -> None:
    old = bare_path / "python3"
    old.write_text('#!/bin/sh\ncase "$*" in *"(3, 11)"*) exit 1;; esac\necho 3.9.2\n')
    old.chmod(0o755)
    (error,) = setup_errors(bare_path, tmp_path)
    assert "python3 is 3.9.2" in error
    assert "3.11" in error


def test_a_missing_venv_module_names_the_package(bare_path: Path, tmp_path: Path) -> None:
    stub_python(bare_path, refused='"import venv"')
    (error,) = setup_errors(bare_path, tmp_path)
    assert "no venv module" in error
    assert "apt install python3-venv" in error


def test_missing_ensurepip_and_pip_name_the_package(bare_path: Path, tmp_path: Path) -> None:
    script = bare_path / "python3"
    stub_python(bare_path, refused='"import ensurepip"')
    script.write_text(script.read_text().replace("esac", '*"-m pip"*) exit 1;; esac'))
    (error,) = setup_errors(bare_path, tmp_path)
    assert "neither ensurepip nor a pip" in error
    assert "apt install python3-venv" in error


def test_help_lists_every_target(bare_path: Path) -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = {line.split()[0] for line in listed.stdout.splitlines()}
    assert targets >= {"setup", "run", "test", "check", "fmt", "bench", "docs", "help"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux shows what make blocks")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_make_alone_ends_the_command(signum: int, tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    started = tmp_path / "started"
    program = (
        f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    makefile.write_text(
        f"run:\n\t@exec {sys.executable} {ROOT}/scripts/under_make.py"
        f' {sys.executable} -c "{program}"\n'
    )
    make = subprocess.Popen(
        ["make", "-f", str(makefile), "run"],
        stderr=subprocess.DEVNULL,
        # A run in the background of a shell has SIGINT ignored, and so has what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_until(lambda: started.exists() and bool(started.read_text()))
        command = int(started.read_text())
        make.send_signal(signum)
        make.wait(30)
        wait_until(lambda: not is_alive(command))
    finally:
        make.kill()
        make.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
