"""`tidegate.asgi:app`, as an ASGI server starts it."""

from pathlib import Path

import pytest

from tidegate.asgi import app


async def started() -> dict[str, str]:
    """Run the lifespan as far as the server's start-up goes; return what the app said."""
    said = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said[0]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDEGATE_CONFIG", raising=False)


async def test_without_a_file_the_server_is_told_the_variable_that_names_one():
    said = await started()
    assert said["type"] == "lifespan.startup.failed"
    assert "./tidegate.yaml does not exist" in said["message"]
    assert "TIDEGATE_CONFIG" in said["message"]


async def test_a_variable_that_names_no_file_is_said_with_the_file(monkeypatch):
    monkeypatch.setenv("TIDEGATE_CONFIG", "nowhere.yaml")
    said = await started()
    assert said["type"] == "lifespan.startup.failed"
    assert "nowhere.yaml" in said["message"]
