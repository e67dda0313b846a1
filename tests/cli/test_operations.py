"""Who is asked to do what a command says: the running gateway's API, or the store."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.served_admin_api import served_admin_api
from tidegate.cli.advertised import FILE, Advertised, advertised, running_gateway


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


def test_what_a_dead_gateway_told_is_not_believed(commands: Any, tmp_path: Path) -> None:
    gateway = Advertised("http://127.0.0.1:8001", "/a.yaml", "embedded", 1)
    (tmp_path / "data").mkdir(mode=0o700)
    with advertised(tmp_path / "data", gateway):
        assert running_gateway(tmp_path / "data") == gateway
    assert (tmp_path / "data" / FILE).exists()
    assert running_gateway(tmp_path / "data") is None


def test_of_two_gateways_on_one_directory_the_first_is_told_of(tmp_path: Path) -> None:
    first = Advertised("http://127.0.0.1:8001", "/a.yaml", "embedded", 1)
    second = Advertised("http://127.0.0.1:8002", "/b.yaml", "embedded", 2)
    place = tmp_path / "data"
    with advertised(place, first):
        with advertised(place, second):
            assert running_gateway(place) == first
        assert running_gateway(place) == first
    with advertised(place, second):
        assert running_gateway(place) == second


def test_a_directory_without_a_gateway_or_with_nonsense_tells_of_none(tmp_path: Path) -> None:
    assert running_gateway(tmp_path) is None
    (tmp_path / FILE).write_text(json.dumps({"url": 1}))
    assert running_gateway(tmp_path) is None
