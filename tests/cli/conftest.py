"""Commands run in this process, on the tests' embedded store and a tenant of their own."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.served_admin_api import served_admin_api
from tidegate.cli.application import app

CONFIG = """\
version: 1
listen: {{port: {port}}}
plans:
  small: {{rate: 5/s, burst: 10, quota: 1000/day}}
tenants:
  - {{name: {tenant}, plan: small, keys: [{{name: in_file, value: {tenant}}}]}}
services:
  - name: test
    targets: [http://127.0.0.1:9000]
    routes:
      - {{name: open, exact_paths: [/open], methods: [GET], auth: none}}
      - {{name: api, hosts: [api.example.com], paths: [/api/v1], cost: 3}}
"""


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Commands:
    """`run("keys", "list")` runs a command with configuration and data directory given."""

    config: Path
    data_dir: Path
    tenant: str

    def run(self, *arguments: str) -> Result:
        where = ["--config", str(self.config)]
        if arguments[0] != "routes":
            where += ["--data-dir", str(self.data_dir)]
        return plain(*arguments, *where)


def plain(*arguments: str) -> Result:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return Result(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command with nothing added."""
    return plain


@pytest.fixture
def commands(tmp_path: Path, valkey_dir: Path) -> Commands:
    tenant = f"tenant_{secrets.token_hex(4)}"
    config = tmp_path / "tidegate.yaml"
    config.write_text(CONFIG.format(tenant=tenant, port=8000))
    return Commands(config, valkey_dir, tenant)


@pytest.fixture(params=["store", "api"])
def operated(request: pytest.FixtureRequest, commands: Commands) -> Iterator[Commands]:
    """The same commands on the store itself, and by an admin API that serves beside it."""
    if request.param == "store":
        yield commands
        return
    with served_admin_api(commands.config, commands.data_dir) as asked:
        yield commands
    assert asked, "the API was there, and the commands went past it"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's environment nor a `.env` nor a tidegate.yaml reaches a command."""
    for name in (
        *("REDIS_URL", "TIDEGATE_CONFIG", "TIDEGATE_DATA_DIR", "DEBUG"),
        *("TIDEGATE_ADMIN_TOKEN", "TIDEGATE_ADMIN_HOST", "TIDEGATE_ADMIN_PORT"),
    ):
        monkeypatch.delenv(name, raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
