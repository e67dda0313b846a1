"""`tidegate.asgi:app`, as an ASGI server starts it."""

import socket
from pathlib import Path

import pytest

from tests.edge.conftest import config_with
from tidegate.asgi import Gateway, app
from tidegate.gateway import GatewayNotOpen


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


async def test_a_gateway_that_cannot_be_opened_to_the_end_is_closed(valkey, monkeypatch):
    def fail():
        raise OSError("this machine has no name")

    gateway = Gateway(config_with({}), data_dir=Path(), store=valkey)
    with monkeypatch.context() as machine:
        machine.setattr(socket, "gethostname", fail)
        with pytest.raises(OSError, match="no name"):
            await gateway.__aenter__()
    with pytest.raises(GatewayNotOpen):
        assert gateway.store
    async with gateway:
        assert gateway.store is valkey
