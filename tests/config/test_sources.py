"""Which files a configuration is made from."""

from pathlib import Path

import pytest

from tidegate.config import ConfigError
from tidegate.config.sources import source_files

FILE = """\
version: 1
tenants:
  - {name: acme, plan: free, keys: [{name: k, value: "${file:secrets/k}"}]}
services:
  - name: things
    targets: ["${UPSTREAM}"]
    tls: {ca_file: certificates/ca.pem}
    routes:
      - name: one
        policies: [{use: own.py}, {use: "own.py:other"}, {use: package.module}]
      - {name: elsewhere, policies: [{use: "${WHERE}/x.py"}]}
      - {name: two, policies: [{use: "${NOWHERE}/y.py"}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHERE", "elsewhere")
    monkeypatch.delenv("NOWHERE", raising=False)
    return tmp_path


def test_all_that_is_read_is_named_whether_it_is_there_or_not(folder):
    path = folder / "conf" / "tidegate.yaml"
    path.parent.mkdir()
    path.write_text(FILE)
    assert {str(file.relative_to(folder)) for file in source_files(path)} == {
        ".env",
        "conf/tidegate.yaml",
        "conf/secrets/k",
        "conf/certificates/ca.pem",
        "conf/own.py",
        "conf/elsewhere/x.py",
    }


def test_the_module_of_an_application_is_named_where_an_import_finds_it(folder):
    path = folder / "tidegate.yaml"
    (folder / "both").mkdir()
    for name in ("up.py", "both.py", "both/__init__.py"):
        (folder / name).touch()
    targets = ("asgi:up:app", "asgi:both:make()", "asgi:away.main:app", "asgi:..:app")
    path.write_text("services:\n" + "".join(f"  - targets: ['{t}']\n" for t in targets))
    assert {str(file.relative_to(folder)) for file in source_files(path)} == {
        ".env",
        "tidegate.yaml",
        "up.py",
        "both/__init__.py",
        "away/main.py",
        "away/main/__init__.py",
    }


def test_a_file_with_mistakes_is_read_all_the_same(folder):
    path = folder / "tidegate.yaml"
    path.write_text("servces: 1\nplans: [x, '${file:secrets/k}', '${']\n")
    assert folder / "secrets/k" in source_files(path)


def test_what_is_no_yaml_is_refused(folder):
    path = folder / "tidegate.yaml"
    path.write_text("a: [")
    with pytest.raises(ConfigError):
        source_files(path)
