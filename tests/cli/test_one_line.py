"""`tidegate serve --to URL`: what is refused before anything is started, and what is written."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.one_line import FirstKey, lines_to_try, text_of, write_file
from tidegate.cli.running import GatewayRun, program
from tidegate.config import Settings, load
from tidegate.config.one_line import OneLine
from tidegate.identity import Repository
from tidegate.store.gateways import Advertised, advertised

TO = "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    "options, said",
    [
        (("--rate", "5/s"), "--rate: it goes with --to URL"),
        (("--auth", "none"), "--auth: it goes with --to URL"),
        (("--to", TO, "--config", "tidegate.yaml"), "--to: it is --to URL or --config FILE"),
        (("--to", TO, "--dev"), "--dev: it watches a file"),
    ],
)
def test_options_that_contradict_are_a_wrong_command_line(
    run: Any, options: tuple[str, ...], said: str
) -> None:
    refused = run("serve", *options)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_a_bad_value_is_told_by_its_option_and_nothing_is_written(run: Any) -> None:
    refused = run("serve", "--to", "127.0.0.1:9000", "--rate", "5/week")
    assert (refused.code, refused.out) == (1, "")
    assert "command line: --rate: found" in refused.err
    assert "command line: --to: found" in refused.err
    assert not Path(".tidegate").exists()


def test_the_file_lies_in_a_private_folder_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "data" / "serve.yaml"
    write_file(path, text_of(OneLine(TO, rate="5/s"), path))
    assert path.parent.stat().st_mode & 0o077 == 0
    assert f"cp {path} tidegate.yaml" in path.read_text()
    assert load(path, {}).services[0].targets == (TO,)
    # A later start says something else.
    write_file(path, text_of(OneLine(TO, auth="none"), path))
    assert load(path, {}).services[0].routes[0].auth == ()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_data_directory_that_cannot_be_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(Failure, match="TIDEGATE_DATA_DIR"):
        write_file(tmp_path / "data" / "serve.yaml", "version: 1")


async def test_beside_a_gateway_with_other_words_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "data" / "serve.yaml"
    first = text_of(OneLine(TO), path)
    write_file(path, first)
    second = text_of(OneLine(TO, rate="5/s"), path)
    run = GatewayRun(path, path.parent, Settings.read({}), written=second)
    with (
        advertised(path.parent, Advertised(str(path), 1, first)),
        pytest.raises(Failure, match="Another gateway runs on"),
    ):
        await run.until_stopped(lambda: None)
    assert path.read_text() == first


def test_a_line_to_copy_calls_us_by_our_path_where_we_are_not_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "venv" / "bin"
    beside.mkdir(parents=True)
    script = beside / "tidegate"
    script.touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(beside / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == str(script)
    monkeypatch.chdir(tmp_path)
    assert program() == "venv/bin/tidegate"
    monkeypatch.setenv("PATH", str(beside))
    assert program() == "tidegate"
    monkeypatch.setenv("PATH", "/nowhere")
    script.unlink()
    assert program() == "tidegate"


def test_a_line_to_copy_names_the_data_directory_where_it_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.cli.running.program", lambda: "tidegate")
    here = GatewayRun(Path("a.yaml"), Path(".tidegate").absolute(), Settings.read({}))
    assert here.command("keys", "list") == "tidegate keys list"
    there = GatewayRun(Path("a.yaml"), tmp_path, Settings.read({}))
    assert there.command("keys", "list") == f"tidegate keys list --data-dir {tmp_path}"


async def first_key_told(place: Path, data_dir: Path) -> None:
    path = place / "serve.yaml"
    write_file(path, text_of(OneLine(TO), path))
    run = GatewayRun(path, data_dir, Settings.read(), workers=1)
    run.config, run.address = load(run.path, {}), ("127.0.0.1", 8000)
    first = FirstKey(run, is_open=False, as_json=False)
    first.announce()
    assert first._telling is not None
    await first._telling


@pytest.mark.parametrize("failure", [Failure("the store says no"), RuntimeError("a mistake")])
async def test_whatever_keeps_the_first_key_from_being_made_is_told_and_all_the_rest_too(
    failure: Exception,
    valkey_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(*_: str) -> None:
        raise failure

    monkeypatch.setattr(Repository, "create_key", refuse)
    await first_key_told(tmp_path, valkey_dir)
    told = capsys.readouterr()
    assert "serves http://127.0.0.1:8000 with 1 worker" in told.out
    assert "Make a key:" in told.out
    assert 'curl -i -H "X-API-Key: KEY"' in told.out
    assert "No key could be made" in told.err + caplog.text
    assert str(failure) in told.err + caplog.text


async def test_the_key_is_told_first_and_the_gateway_ends_quietly_if_nobody_reads_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with `| head -1`."""
    told: list[str] = []

    def read_one_line(text: str = "") -> None:
        if told:
            raise BrokenPipeError
        told.append(text)

    async def made(_: FirstKey) -> str:
        return "tg_live_x"

    raised: list[int] = []
    monkeypatch.setattr("tidegate.cli.one_line.print_line", read_one_line)
    monkeypatch.setattr("tidegate.cli.running.print_line", read_one_line)
    monkeypatch.setattr("tidegate.cli.one_line.stop_printing", lambda: raised.append(0))
    monkeypatch.setattr("signal.raise_signal", raised.append)
    monkeypatch.setattr(FirstKey, "_made", made)
    await first_key_told(tmp_path, tmp_path)
    assert told == ["Key, shown this once and valid after a restart too: tg_live_x"]
    assert raised == [0, signal.SIGTERM]
    assert caplog.text == ""


def test_the_lines_to_try_name_an_address_that_a_client_can_name() -> None:
    for served, tried in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]"), ("10.0.0.1", "10.0.0.1")):
        first, second = lines_to_try(f"http://{served}:8000", "k", "/x")
        assert first == f'curl -i -H "X-API-Key: k" http://{tried}:8000/x'
        assert f"http://{tried}:8000/x; done" in second
    assert all("X-API-Key" not in line for line in lines_to_try("http://127.0.0.1:8000", None))
