"""A peer with an environment of its own is started from it, or left out with what to do."""

import stat
from pathlib import Path

import pytest
import yaml

from bench import gateways
from bench.gateways import GATEWAYS, litellm
from bench.jobs import ALLOWED, KEY
from bench.surroundings import Surroundings, Unfit


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(tmp_path, store_port=1, store_pid=1, upstream_port=9000)


def installed(folder: Path) -> Path:
    program = folder / ".venv" / "bin" / "litellm"
    program.parent.mkdir(parents=True)
    program.touch(stat.S_IRWXU)
    return program


def test_litellm_is_left_out_where_it_is_not_installed(
    around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "LITELLM", tmp_path / "litellm")
    with pytest.raises(Unfit, match="make peers"):
        litellm(around, 8000)


def test_litellm_checks_the_key_and_asks_the_upstream(
    around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "LITELLM", tmp_path / "litellm")
    program = installed(tmp_path / "litellm")
    start = litellm(around, 8000)
    assert start.command[0] == str(program)
    assert start.command[-2:] == ["--port", "8000"]
    settings = yaml.safe_load(Path(start.command[2]).read_text())["general_settings"]
    assert settings["master_key"] == KEY
    (endpoint,) = settings["pass_through_endpoints"]
    assert endpoint["auth"] is True
    assert ALLOWED.path.startswith(endpoint["path"])
    assert endpoint["target"] == f"http://127.0.0.1:9000{endpoint['path']}"


def test_litellm_says_that_it_takes_no_token_and_has_no_job_that_needs_one() -> None:
    (peer,) = (gateway for gateway in GATEWAYS if gateway.name == "litellm")
    assert not peer.asks_store
    assert "no limit" in peer.label
    assert peer.jobs == (ALLOWED,)
