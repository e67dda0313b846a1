"""Settings come from the environment, then `.env`; a bad one is named, a secret one never shown."""

from pathlib import Path

import pytest

from tidegate.config import ConfigError, Settings, load

DESIGN = Path(__file__).parent / "right" / "design.yaml"
NAMES = [str(field.validation_alias) for field in Settings.model_fields.values()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message_of(environ: dict[str, str] | None) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.read(environ)
    return str(caught.value)


def test_defaults_leave_the_file_to_decide(folder: Path) -> None:
    settings = Settings.read()
    assert settings.data_dir == Path(".tidegate")
    assert (settings.app_name, settings.debug) == ("tidegate", False)
    assert settings.redis_url is settings.listen_host is settings.admin_token is None
    assert list(settings.overrides()) == []


def test_the_environment_stands_over_dotenv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("APP_NAME=from_dotenv\nDEBUG=yes\nUNRELATED=x\n")
    monkeypatch.setenv("APP_NAME", "from_environment")
    settings = Settings.read()
    assert (settings.app_name, settings.debug) == ("from_environment", True)


def test_dotenv_stands_over_the_file(folder: Path) -> None:
    (folder / ".env").write_text("REDIS_URL=redis://store:6379/0\nTIDEGATE_LISTEN_PORT=8080\n")
    config = load(DESIGN)
    assert (config.redis.url, config.listen.port) == ("redis://store:6379/0", 8080)


def test_an_empty_variable_is_an_unset_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("DEBUG", "")
    assert Settings.read().redis_url is None
    assert Settings.read({"REDIS_URL": "", "DEBUG": ""}).debug is False


def test_a_given_environment_hides_the_processs_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("APP_NAME=from_dotenv\n")
    monkeypatch.setenv("DEBUG", "true")
    settings = Settings.read({"TIDEGATE_WORKERS": "3"})
    assert (settings.app_name, settings.debug, settings.workers) == ("tidegate", False, 3)


def test_a_bad_variable_is_named_with_where_it_came_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("TIDEGATE_LISTEN_PORT=http\n")
    monkeypatch.setenv("DEBUG", "maybe")
    assert message_of(None).splitlines() == [
        'environment: DEBUG: found "maybe"; write true or false',
        '.env: TIDEGATE_LISTEN_PORT: found "http"; write a whole number',
    ]


def test_a_bad_variable_is_reported_with_the_problems_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("version: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {"REDIS_URL": "redis+cluster://u:s3cret@a/7"})
    assert [problem.field for problem in caught.value.problems] == ["REDIS_URL", "services"]
    assert "database 0 only" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_bad_url_is_shown_without_its_password() -> None:
    assert '"redis://me:***@a b"' in message_of({"REDIS_URL": "redis://me:s3cret@a b"})


def test_a_token_is_long_enough_and_never_shown() -> None:
    message = message_of({"TIDEGATE_ADMIN_TOKEN": "s3cret"})
    assert message.startswith("environment: TIDEGATE_ADMIN_TOKEN: found a value that is not shown")
    assert "s3cret" not in message
    settings = Settings.read({"TIDEGATE_ADMIN_TOKEN": "s3cret" * 4, "REDIS_URL": "redis://:pw1@a"})
    assert "s3cret" not in repr(settings)
    assert "pw1" not in repr(settings)


def test_a_misspelt_variable_is_told_and_a_strangers_is_not() -> None:
    message = message_of({"TIDEGATE_LISTEN_HOTS": "::"})
    assert message.endswith(
        'TIDEGATE_LISTEN_HOTS: unknown variable, did you mean "TIDEGATE_LISTEN_HOST"?'
    )
    # What Kubernetes sets beside a service called tidegate.
    Settings.read({"TIDEGATE_PORT": "tcp://10.0.0.1:80", "TIDEGATE_SERVICE_HOST": "10.0.0.1"})


def test_an_unreadable_dotenv_is_told(folder: Path) -> None:
    (folder / ".env").write_bytes(b"APP_NAME=\xff\n")
    assert message_of(None) == ".env: cannot be read: not UTF-8 text"
