"""The built wheel in an environment of its own: one line, and there is a gateway.

Nothing is downloaded: what the wheel needs is looked up in the environment that runs the tests.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ended

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"tg_live_[A-Za-z0-9]{30}_[A-Za-z0-9]{6}")


@pytest.fixture(scope="module")
def tidegate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment in which nothing but the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("tidegate-*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [*installer(python), "--no-index", "--no-deps", str(wheel)], check=True, capture_output=True
    )
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    # A plain line adds a folder to the path without following the .pth files in it, such as the
    # one that makes the source importable.
    needed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(paths["purelib"]) / "needed.pth").write_text("\n".join(sorted(needed)) + "\n")
    return environment / "bin" / "tidegate"


def installer(python: Path) -> list[str]:
    """As scripts/setup.sh does: uv makes environments without a pip."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--python", str(python), "install"]
    uv = shutil.which("uv")
    assert uv is not None, "neither pip nor uv is here"
    return [uv, "pip", "install", "--python", str(python)]


@pytest.fixture
def serve(tidegate: Path, short_dir: Path, echo_url: str) -> Iterator[Any]:
    """`serve(*options)` starts the wheel's gateway before an echo; returns what it has said."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*options: str) -> tuple[subprocess.Popen[bytes], str]:
        process = subprocess.Popen(
            [tidegate, "serve", "--to", echo_url, "--port", "0", "--admin-port", "0", *options],
            cwd=short_dir, env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        said = ""
        while "seq 12" not in said:
            line = process.stdout.readline().decode()
            assert line, said
            said += line
        return process, said

    yield run
    for process in running:
        ended(process)


def port_in(said: str) -> int:
    return int(re.findall(r"http://127\.0\.0\.1:(\d+)/", said)[-1])


async def test_one_line_is_a_gateway_with_a_key_and_a_limit(serve: Any, clients: Any) -> None:
    process, said = serve("--rate", "5/h", "--workers", "1")
    (key,) = set(KEY.findall(said))
    assert f'curl -i -H "X-API-Key: {key}" http://127.0.0.1:{port_in(said)}/\n' in said

    async def statuses(said: str, count: int, header: str) -> list[int]:
        asked = [await clients.get(port_in(said), "/any/path", 10, header) for _ in range(count)]
        return [answer.status for answer in asked]

    header = f"X-API-Key: {key}\r\n"
    assert await statuses(said, 7, header) == [200] * 5 + [429] * 2
    assert await statuses(said, 1, "") == [401]

    ended(process)
    _, said = serve("--rate", "6/h", "--workers", "1")
    assert not KEY.search(said)
    assert "keys rotate" in said
    # The same key on the same store: what it owes takes the rest of its hour on any plan.
    assert await statuses(said, 1, header) == [429]


async def test_none_makes_no_key_and_asks_for_none(serve: Any, clients: Any) -> None:
    _, said = serve("--auth", "none", "--workers", "1")
    assert not KEY.search(said)
    assert "X-API-Key" not in said
    assert (await clients.get(port_in(said), "/any", 10)).status == 200


def test_the_wheel_holds_what_is_no_module(tidegate: Path, tmp_path: Path) -> None:
    for command in (["init"], ["config", "check"]):
        subprocess.run([tidegate, *command], cwd=tmp_path, check=True, capture_output=True, env={})


def test_what_runs_is_the_wheel_s(tidegate: Path, tmp_path: Path) -> None:
    code = "import tidegate; print(tidegate.__file__)"
    python = tidegate.with_name("python")
    where = subprocess.check_output([python, "-c", code], cwd=tmp_path, env={}, text=True)
    assert where.startswith(str(tidegate.parents[1]))
