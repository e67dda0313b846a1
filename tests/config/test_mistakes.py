"""Each wrong file in `mistakes/` must give exactly the message in the file beside it."""

from pathlib import Path

import pytest

from tidegate.config import ConfigError, load

MISTAKES = Path(__file__).parent / "mistakes"
SECRETS = ("s3cr", "hunter")
ENVIRON = {"SECRET_WORD": "hunter2", "SECRET_WORDS": "hunter2 hunter3"}


def message_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(path.name for path in MISTAKES.glob("*.yaml")))
def test_a_mistake_gives_its_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MISTAKES)
    message = message_of(Path(name))
    assert message == Path(name).with_suffix(".txt").read_text().rstrip("\n")
    assert not [secret for secret in SECRETS if secret in message]


def test_there_are_mistakes_enough_and_none_without_a_message() -> None:
    names = {path.stem for path in MISTAKES.glob("*.yaml")}
    assert names == {path.stem for path in MISTAKES.glob("*.txt")}
    assert len(names) >= 100


def test_the_message_names_the_path_as_it_was_given() -> None:
    assert message_of(MISTAKES / "services_missing.yaml").startswith(f"{MISTAKES}/services_missing")


def test_a_file_that_is_missing_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "tidegate.yml").write_text("version: 1\n")
    path = tmp_path / "tidegate.yaml"
    assert message_of(path) == f"{path}: there is no such file; this folder has tidegate.yml"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    assert message_of(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_file_over_the_bound_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (4 * 2**20 + 1))
    assert message_of(path) == f"{path}: larger than 4 MiB"


def test_bytes_that_are_not_utf8_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "latin1.yaml"
    path.write_bytes(b"version: 1\n# gr\xf6sse\n")
    assert message_of(path) == f"{path}:2:5: not UTF-8 text"


def test_a_control_character_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nul.yaml"
    path.write_bytes(b"version: 1\x00\n")
    assert message_of(path) == f"{path}: holds a control character, which YAML does not allow"


def test_deep_nesting_ends_without_exhausting_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("a: " + "[" * 100_000)
    assert "nest" in message_of(path)


def test_problems_come_in_file_order_with_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(ConfigError) as caught:
        load(Path("several_at_once.yaml"), {})
    places = [(problem.line, problem.column) for problem in caught.value.problems]
    assert places == sorted(places)
    first = caught.value.problems[0]
    assert (first.field, first.file, first.line) == ("listen.prot", "several_at_once.yaml", 2)
