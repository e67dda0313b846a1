"""The container files say what the program understands; no engine is needed to hold them to it."""

import re
from pathlib import Path
from typing import Any

import yaml

from tidegate.config import load
from tidegate.config.environment import Settings

ROOT = Path(__file__).parents[2]


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def known_variables() -> set[str]:
    return {str(field.validation_alias) for field in Settings.model_fields.values()}


def test_compose_waits_for_store_and_upstream_to_be_healthy() -> None:
    services = compose()["services"]
    needed = services["gateway"]["depends_on"]
    assert {name: needed[name]["condition"] for name in needed} == {
        "redis": "service_healthy",
        "echo": "service_healthy",
    }
    assert all("healthcheck" in services[name] for name in needed)


def test_the_store_of_compose_keeps_what_it_is_told() -> None:
    command = compose()["services"]["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_compose_sets_only_variables_that_the_gateway_reads() -> None:
    environment = compose()["services"]["gateway"]["environment"]
    assert {entry.partition("=")[0] for entry in environment} <= known_variables()


def test_the_configuration_of_compose_loads_and_names_its_upstream() -> None:
    services = compose()["services"]
    (mounted,) = (v for v in services["gateway"]["volumes"] if v.startswith("./"))
    source, target, mode = mounted.split(":")
    assert mode == "ro"
    assert f"TIDEGATE_CONFIG={target}" in (ROOT / "Dockerfile").read_text()
    config = load(ROOT / source, {"REDIS_URL": "redis://redis:6379/0"})
    port = services["echo"]["command"][-1]
    assert [service.targets for service in config.services] == [(f"http://echo:{port}",)]


def test_env_example_explains_every_variable_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"#?([A-Z_]+)=", line))}
    assert named == known_variables()


def test_env_example_as_it_stands_sets_nothing() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_image_runs_without_root_and_copies_what_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", text, re.M) == ["10001:10001"]
    assert "/health" in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
