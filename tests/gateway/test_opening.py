"""A gateway that cannot open leaves nothing open, and one that closes closes all of it."""

from pathlib import Path

import pytest

from tidegate.cache import Cache
from tidegate.config import Config
from tidegate.gateway import Gateway, GatewayNotOpen
from tidegate.policies import PolicyNotLoaded
from tidegate.telemetry import Telemetry
from tidegate.upstream import Upstream


def config(**route) -> Config:
    services = [
        {
            "name": "test",
            "targets": ["http://127.0.0.1:9"],
            "routes": [{"name": "test", "auth": [], **route}],
        }
    ]
    return Config.model_validate({"version": 1, "services": services})


class Closings:
    """Which parts were closed, in their order; `failing` raises at its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.closed: list[str] = []
        self.failing: type | None = None
        for part in (Upstream, Cache, Telemetry):
            monkeypatch.setattr(part, "aclose", self._noting(part, part.aclose))

    def _noting(self, part: type, aclose):
        async def closing(closed) -> None:
            self.closed.append(part.__name__)
            await aclose(closed)
            if part is self.failing:
                raise OSError(part.__name__)

        return closing


@pytest.fixture
def closings(monkeypatch) -> Closings:
    return Closings(monkeypatch)


@pytest.fixture
async def unchanged(tidegate_store):
    """Holds that the given store is open in the end, and that nobody new watches it."""
    watchers = list(tidegate_store.tracking._watchers)
    yield
    assert tidegate_store.tracking._watchers == watchers
    assert tidegate_store.is_up


def is_not_open(gateway: Gateway) -> bool:
    for part in ("parts", "snapshot", "store"):
        with pytest.raises(GatewayNotOpen):
            getattr(gateway, part)
    return not gateway.is_ready


async def test_an_opening_that_fails_at_its_policies_leaves_nothing(
    tidegate_store, closings, unchanged
):
    configured = config(cache={"default_ttl": 60}, policies=[{"use": "missing.py"}])
    gateway = Gateway(configured, data_dir=Path(), store=tidegate_store)
    for _ in range(2):
        closings.closed.clear()
        with pytest.raises(PolicyNotLoaded):
            await gateway.__aenter__()
        assert closings.closed == ["Cache", "Telemetry"]
        assert is_not_open(gateway)


async def test_an_opening_that_fails_at_its_last_step_leaves_nothing(
    tidegate_store, closings, unchanged, monkeypatch
):
    def start(*_, **__) -> None:
        raise OSError("no thread")

    gateway = Gateway(config(cache={"default_ttl": 60}), data_dir=Path(), store=tidegate_store)
    with monkeypatch.context() as broken:
        broken.setattr(Telemetry, "start", start)
        with pytest.raises(OSError, match="no thread"):
            await gateway.__aenter__()
    assert closings.closed == ["Upstream", "Cache", "Telemetry"]
    assert is_not_open(gateway)
    async with gateway:
        assert gateway.is_ready


@pytest.mark.parametrize("failing", [Upstream, Cache, Telemetry])
async def test_a_part_that_fails_to_close_keeps_no_other_open(
    tidegate_store, closings, unchanged, failing
):
    gateway = Gateway(config(cache={"default_ttl": 60}), data_dir=Path(), store=tidegate_store)
    await gateway.__aenter__()
    closings.failing = failing
    with pytest.raises(OSError, match=failing.__name__):
        await gateway.__aexit__(None, None, None)
    assert closings.closed == ["Upstream", "Cache", "Telemetry"]
    assert is_not_open(gateway)


async def test_closing_twice_closes_once(tidegate_store, closings, unchanged):
    gateway = Gateway(config(), data_dir=Path(), store=tidegate_store)
    await gateway.__aenter__()
    await gateway.__aexit__(None, None, None)
    await gateway.__aexit__(None, None, None)
    assert closings.closed == ["Upstream", "Telemetry"]
