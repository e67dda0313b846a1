"""Settings from the environment and from `.env`, which is read from the working directory.

Precedence: environment, then `.env`, then the YAML file, then the default. `REDIS_URL`,
`APP_NAME` and `DEBUG` have plain names; everything else begins with `TIDEGATE_`. An empty variable
counts as unset (compose files set those). There is no `TIDEGATE_PORT`: Kubernetes sets a variable
of that name in every container beside a service called tidegate.
"""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tidegate.config import fields as f
from tidegate.config.messages import wrong_value
from tidegate.config.nodes import Scalar
from tidegate.config.problems import ConfigError, Mark, Problem, Problems
from tidegate.config.values import Wrong

DOTENV: Final = ".env"
ENVIRONMENT: Final = "environment"
PREFIX: Final = "TIDEGATE_"
TOKEN_CHARACTERS_MIN: Final = 16


def checked_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < TOKEN_CHARACTERS_MIN or not all("!" <= letter <= "~" for letter in text):
        raise Wrong(
            f"the token is at least {TOKEN_CHARACTERS_MIN} characters of printable ASCII, "
            "without spaces"
        )
    return token


class Settings(BaseSettings):
    """What one process is told from outside; None: the YAML file or its default decides."""

    model_config = SettingsConfigDict(
        env_file=DOTENV,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        case_sensitive=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    redis_url: f.RedisUrl | None = Field(None, validation_alias="REDIS_URL", repr=False)
    app_name: str = Field(
        "tidegate", validation_alias="APP_NAME", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
    )
    debug: bool = Field(False, validation_alias="DEBUG")
    config: Path | None = Field(None, validation_alias="TIDEGATE_CONFIG")
    data_dir: Path = Field(Path(".tidegate"), validation_alias="TIDEGATE_DATA_DIR")
    admin_token: Annotated[SecretStr, AfterValidator(checked_token)] | None = Field(
        None, validation_alias="TIDEGATE_ADMIN_TOKEN"
    )
    listen_host: f.ListenHost | None = Field(None, validation_alias="TIDEGATE_LISTEN_HOST")
    listen_port: f.Port | None = Field(None, validation_alias="TIDEGATE_LISTEN_PORT")
    admin_host: f.ListenHost | None = Field(None, validation_alias="TIDEGATE_ADMIN_HOST")
    admin_port: f.Port | None = Field(None, validation_alias="TIDEGATE_ADMIN_PORT")
    workers: int | None = Field(None, validation_alias="TIDEGATE_WORKERS", ge=1, le=256)

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read them; raise ConfigError naming each bad variable. `environ` stands for both."""
        every = variables(environ)
        problems = Problems()
        _find_misspelt(every, environ, problems)
        try:
            settings = Settings() if environ is None else _Given(**_present(environ))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                _report(detail, every, environ, problems)
            raise ConfigError(problems) from None
        problems.raise_if_any()
        return settings

    def overrides(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield what takes the place of the YAML's: section, field, variable, value."""
        for variable, section, field, value in (
            ("REDIS_URL", "redis", "url", self.redis_url),
            ("TIDEGATE_LISTEN_HOST", "listen", "host", self.listen_host),
            ("TIDEGATE_LISTEN_PORT", "listen", "port", self.listen_port),
            ("TIDEGATE_ADMIN_HOST", "admin", "host", self.admin_host),
            ("TIDEGATE_ADMIN_PORT", "admin", "port", self.admin_port),
        ):
            if value is not None:
                yield section, field, variable, str(value)


class _Given(Settings):
    """Settings from a mapping alone, whatever the process's own environment holds."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def variables(environ: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return what references see: the environment over `.env`, or `environ` alone."""
    if environ is not None:
        return environ
    try:
        dotenv = dotenv_values(DOTENV) if Path(DOTENV).is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError([Problem("", DOTENV, 0, 0, f"cannot be read: {reason}")]) from None
    return {name: value for name, value in dotenv.items() if value is not None} | dict(os.environ)


def origin(variable: str, environ: Mapping[str, str] | None) -> str:
    return ENVIRONMENT if environ is not None or os.environ.get(variable) else DOTENV


def _report(
    detail: Any, every: Mapping[str, str], environ: Mapping[str, str] | None, problems: Problems
) -> None:
    variable = str(detail["loc"][0])
    mark = Mark(origin(variable, environ))
    value = every.get(variable, "")
    # The path decides what may be shown: tidegate.admin.token is secret.
    node = Scalar(variable.lower().replace("_", "."), mark, value, value)
    problems.add(mark, variable, wrong_value(detail["type"], detail.get("ctx", {}), node, place=""))


def _present(environ: Mapping[str, str]) -> dict[str, Any]:
    aliases = {str(field.validation_alias) for field in Settings.model_fields.values()}
    return {name: environ[name] for name in aliases if environ.get(name)}


def _find_misspelt(
    every: Mapping[str, str], environ: Mapping[str, str] | None, problems: Problems
) -> None:
    """Only a near miss is a mistake: Kubernetes adds TIDEGATE_… variables of its own."""
    known = [str(field.validation_alias) for field in Settings.model_fields.values()]
    for name in every:
        if name.startswith(PREFIX) and name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.9)
            if close:
                mark = Mark(origin(name, environ))
                problems.add(mark, name, f'unknown variable, did you mean "{close[0]}"?')
