import pickle
from pathlib import Path

import pytest

from tidegate.config import Config, load

FILE = """\
version: 1
plans:
  free: {rate: 5/s}
  gold:
    extends: free
tenants:
  - {name: demo, plan: free}
  - name: acme
    plan: gold
    keys:
      - {name: ci, value: "a key of acme's"}
services:
  - name: things
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: open, paths: [/open], auth: none}
      - name: api
        paths: [/api]
        policies:
          - {use: a.b}
          - use: c.d
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "gate.yaml"
    path.write_text(FILE.replace("a key of acme's", "akey"))
    return load(path, {})


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("plan", "free", 3),
        ("plan", "gold", 4),
        ("tenant", "demo", 7),
        ("tenant", "acme", 8),
        ("key", "acme/ci", 11),
        ("service", "things", 13),
        ("route", "open", 16),
        ("route", "api", 17),
        ("target", "things/0", 14),
        ("policy", "api/0", 20),
        ("policy", "api/1", 21),
    ],
)
def test_every_object_of_the_file_has_its_line(
    config: Config, tmp_path: Path, kind: str, name: str, line: int
) -> None:
    assert config.places.of(kind, name) == f"{tmp_path / 'gate.yaml'}:{line}"
    # A worker gets the configuration in this form.
    assert pickle.loads(pickle.dumps(config)).places.of(kind, name).endswith(f":{line}")


def test_what_the_file_does_not_define_has_no_line(config: Config) -> None:
    assert config.places.of("tenant", "nobody") == "the configuration file"


def test_a_configuration_is_the_same_wherever_its_lines_stand(
    config: Config, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.yaml"
    moved.write_text("# a comment\n" + FILE.replace("a key of acme's", "akey"))
    other = load(moved, {})
    assert other == config
    assert other.places.of("plan", "free").endswith(":4")
