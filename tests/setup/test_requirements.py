"""The locked requirements install the same bytes everywhere, and everything that is asked for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")
APART = "bench/litellm/requirements.txt"
"""A peer with an environment of its own: nothing of ours is in it."""


def pinned(file: str) -> dict[str, tuple[Requirement, list[str]]]:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        specification, *hashes = re.split(r"\s+--hash=", line.strip())
        requirement = Requirement(specification)
        found[canonicalize_name(requirement.name)] = (requirement, hashes)
    return found


def asked_for(file: str, *groups: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [] if file == APART else [*project["project"]["dependencies"]]
    for group in groups:
        wanted += [entry for entry in project["dependency-groups"][group] if isinstance(entry, str)]
    return [Requirement(entry) for entry in wanted]


@pytest.mark.parametrize("file", (*FILES, APART))
def test_every_requirement_is_one_version_with_hashes(file: str) -> None:
    for requirement, hashes in pinned(file).values():
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement


@pytest.mark.parametrize("file", (*FILES, APART))
def test_no_file_says_where_it_was_made(file: str) -> None:
    text = (ROOT / file).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|-e |file:|\s/", text)


@pytest.mark.parametrize(
    "file, groups",
    [
        (FILES[0], ("build",)),
        (FILES[1], ("build", "dev")),
        (FILES[2], ("bench",)),
        (APART, ("litellm",)),
    ],
    ids=(*FILES, APART),
)
def test_the_lock_meets_what_pyproject_asks(file: str, groups: tuple[str, ...]) -> None:
    locked = pinned(file)
    for wanted in asked_for(file, *groups):
        requirement, _ = locked[canonicalize_name(wanted.name)]
        version = next(iter(requirement.specifier)).version
        assert wanted.specifier.contains(version), f"{wanted}: run make lock"


def test_the_development_environment_holds_the_running_one() -> None:
    run, dev, bench = (pinned(file) for file in FILES)
    assert {name: dev.get(name) for name in run} == run
    assert {name: run[name] for name in bench if name in run} == {
        name: bench[name] for name in bench if name in run
    }
