"""`tidegate admin login`, and the token that it shows."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.served_admin_api import served_admin_api
from tidegate.cli.admin_token import FILE, admin_token
from tidegate.cli.failure import Failure
from tidegate.config import Settings


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    return directory


def login(run: Any, commands: Any, place: Path, *more: str) -> Any:
    where = ("--config", str(commands.config), "--data-dir", str(place))
    return run("admin", "login", *where, *more)


def test_before_the_first_start_there_is_none(run: Any, commands: Any, place: Path) -> None:
    told = login(run, commands, place)
    assert told.code == 1
    assert "the first start of a gateway" in told.err
    assert not list(place.iterdir())


def test_it_shows_where_and_with_what_while_a_gateway_runs_and_after(
    run: Any, commands: Any
) -> None:
    with served_admin_api(commands.config, commands.data_dir):
        running = commands.run("admin", "login", "--json").json
        shown = commands.run("admin", "login").out
    assert running["running"] is True
    assert running["docs"] == running["url"] + "/docs"
    assert running["token"] in shown
    assert running["docs"] in shown
    after = commands.run("admin", "login", "--json").json
    assert (after["running"], after["url"]) == (False, "http://127.0.0.1:8001")
    assert after["token"] == running["token"]
    assert "no gateway runs" in commands.run("admin", "login").out


def test_the_token_is_made_once_for_its_owner_alone(place: Path) -> None:
    token = admin_token(place, Settings.read({}))
    assert admin_token(place, Settings.read({})) == token
    assert stat.S_IMODE((place / FILE).stat().st_mode) == 0o600
    assert [path.name for path in place.iterdir()] == [FILE]
    assert token.get_secret_value() not in repr(token)


def test_one_that_others_can_read_is_refused_and_so_is_one_that_is_none(
    run: Any, commands: Any, place: Path
) -> None:
    token = admin_token(place, Settings.read({})).get_secret_value()
    (place / FILE).chmod(0o644)
    told = login(run, commands, place)
    assert told.code == 1
    assert "can be read by others" in told.err
    assert token not in told.err
    (place / FILE).chmod(0o600)
    (place / FILE).write_text("short")
    told = login(run, commands, place)
    assert told.code == 1
    assert "at least 16 characters" in told.err
    assert "short" not in told.err


def test_one_that_somebody_else_owns_is_refused(
    run: Any, commands: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = admin_token(place, Settings.read({})).get_secret_value()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    told = login(run, commands, place)
    assert told.code == 1
    assert f"{place / FILE} does not belong to the user" in told.err
    assert token not in told.err


def test_the_variable_wins_and_is_not_written_down(
    run: Any, commands: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_ADMIN_TOKEN", "a-token-of-the-operator")
    assert login(run, commands, place, "--json").json["token"] == "a-token-of-the-operator"
    assert not list(place.iterdir())


def test_a_directory_that_others_can_read_gets_no_token(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    (open_to_all / "something").touch()
    with pytest.raises(Failure, match="chmod 700"):
        admin_token(open_to_all, Settings.read({}))
    assert not (open_to_all / FILE).exists()


def test_an_api_that_is_switched_off_has_no_address(run: Any, commands: Any, place: Path) -> None:
    admin_token(place, Settings.read({}))
    with commands.config.open("a") as config:
        config.write("admin: false\n")
    told = login(run, commands, place)
    assert told.code == 1
    assert "switched off" in told.err
