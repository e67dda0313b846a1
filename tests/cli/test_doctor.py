"""`tidegate doctor` finds what is broken and what is only worth a warning."""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.schema import Redis
from tidegate.store.gateways import Advertised, advertised, shown_store


def findings(result: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in result.json["findings"]:
        found.setdefault(finding["check"], set()).add(finding["level"])
    return found


def use_free_port(config: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config.write_text(config.read_text().replace("port: 8000", f"port: {port}"))


def test_a_sound_machine_is_all_ok(commands: Any) -> None:
    use_free_port(commands.config)
    checked = commands.run("doctor", "--json")
    found = findings(checked)
    assert checked.code == 0
    assert found["store"] == found["port"] == found["data directory"] == {"ok"}
    assert "WAITAOF there" in commands.run("doctor").out


def test_a_port_that_is_taken_is_broken_and_names_the_holder(commands: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        commands.config.write_text(
            commands.config.read_text().replace("port: 8000", f"port: {port}")
        )
        checked = commands.run("doctor", "--json")
        assert checked.code == 1
        assert findings(checked)["port"] == {"broken"}
        assert f"Port {port} is taken by pid " in checked.out


def test_an_admin_port_that_was_asked_for_and_is_taken_is_broken(commands: Any) -> None:
    use_free_port(commands.config)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with commands.config.open("a") as config:
            config.write(f"admin: {{port: {port}}}\n")
        checked = commands.run("doctor", "--json")
    assert checked.code == 1
    assert findings(checked)["admin port"] == {"broken"}
    assert findings(commands.run("doctor", "--json"))["admin port"] == {"ok"}


def test_a_store_without_waitaof_is_a_warning(
    commands: Any, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_free_port(commands.config)
    monkeypatch.setenv("REDIS_URL", redis_server)
    checked = commands.run("doctor", "--json")
    if "WAITAOF there" in checked.out:
        pytest.skip("this redis-server has WAITAOF")
    assert checked.code == 0
    assert checked.json["result"] == "warning"
    assert findings(checked)["store"] == {"ok", "warning"}


def test_a_store_that_is_away_and_a_wrong_file_are_broken(
    commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://user:secret@127.0.0.1:1")
    checked = commands.run("doctor", "--json")
    assert checked.code == 1
    assert findings(checked)["store"] == {"broken"}
    assert "secret" not in checked.out
    route = "{name: open, policies: [{use: no_such_module_here}], "
    commands.config.write_text(commands.config.read_text().replace("{name: open, ", route))
    assert findings(commands.run("doctor", "--json"))["configuration"] == {"broken"}
    commands.config.write_text("version: 2\n")
    assert findings(commands.run("doctor", "--json"))["configuration"] == {"broken"}


def test_a_target_that_cannot_be_reached_is_a_warning_with_its_reason(commands: Any) -> None:
    use_free_port(commands.config)
    with socket.socket() as served, socket.socket() as away:
        served.bind(("127.0.0.1", 0))
        served.listen()
        away.bind(("127.0.0.1", 0))  # without listening: nobody else takes the port
        up, down = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (served, away))
        text = commands.config.read_text()
        commands.config.write_text(text.replace("http://127.0.0.1:9000", f"{up}, {down}"))
        checked = commands.run("doctor", "--json")
    told = {f["text"]: f["level"] for f in checked.json["findings"] if f["check"] == "target"}
    assert checked.code == 0
    assert told == {
        f"{up} accepts connections": "ok",
        f"{down} cannot be reached: connection refused": "warning",
    }


def test_a_data_directory_open_to_others_is_broken(commands: Any, tmp_path: Path) -> None:
    use_free_port(commands.config)
    commands.data_dir = tmp_path / "open"
    commands.data_dir.mkdir(mode=0o755)
    commands.data_dir.chmod(0o755)
    (commands.data_dir / "anything").touch()
    checked = commands.run("doctor", "--json")
    assert checked.code == 1
    assert findings(checked)["data directory"] == {"broken"}
    assert "chmod 700" in checked.out
    shutil.rmtree(commands.data_dir)


def test_looking_leaves_no_file_behind(commands: Any, run: Any) -> None:
    use_free_port(commands.config)
    before = set(Path(tempfile.gettempdir()).glob("tidegate-doctor-*"))
    checked = run("doctor", "--json", "--config", str(commands.config))
    assert (checked.code, findings(checked)["store"]) == (0, {"ok"})
    assert f"can be started in {Path.cwd()}/.tidegate; AOF on" in checked.out
    assert not Path(".tidegate").exists()
    assert set(Path(tempfile.gettempdir()).glob("tidegate-doctor-*")) == before


@pytest.mark.parametrize("is_named", [True, False])
def test_beside_a_gateway_its_own_store_and_ports_are_told(
    commands: Any, run: Any, redis_server: str, tmp_path: Path, is_named: bool
) -> None:
    place = tmp_path / "its"
    where = ["--data-dir", str(place)] + (["-c", str(commands.config)] if is_named else [])
    told = Advertised(
        str(commands.config),
        os.getpid(),
        url="http://127.0.0.1:8765",
        store=redis_server,
        traffic_url="http://127.0.0.1:8764",
    )
    with advertised(place, told):
        checked = run("doctor", "--json", *where)
        commands.config.write_text("oops: 1\n")
        locked_out = run("doctor", "--json", *where)
    assert checked.code == 0
    assert f" at {redis_server}; " in checked.out
    assert f"this gateway runs: pid {os.getpid()}, http://127.0.0.1:8764" in checked.out
    assert "this gateway runs: http://127.0.0.1:8765" in checked.out
    assert locked_out.code == 1
    assert "The gateway that runs keeps what it has loaded before." in locked_out.out
    assert f" at {redis_server}; " in locked_out.out
    assert [path.name for path in place.iterdir()] == ["gateways"]


def test_a_store_whose_password_only_the_gateway_knows_is_no_other_one(
    commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "redis://:secret@127.0.0.1:1"
    shown = shown_store(Redis(url=url), commands.data_dir)
    told = Advertised(str(commands.config), os.getpid(), store=shown)
    with advertised(commands.data_dir, told):
        checked = commands.run("doctor", "--json")
        monkeypatch.setenv("REDIS_URL", url)
        known = commands.run("doctor", "--json")
    assert findings(checked)["store"] == {"warning"}
    assert f"uses {shown}: to have it examined, set REDIS_URL" in checked.out
    assert findings(known)["store"] == {"broken"}
