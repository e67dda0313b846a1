"""One worker's telemetry goes on whatever fails, and may be opened more than once."""

import pytest

from tidegate.telemetry import telemetry as module
from tidegate.telemetry.telemetry import Telemetry
from tidegate.telemetry.worker_files import read_sum


@pytest.fixture(autouse=True)
def _quick_rounds(monkeypatch):
    monkeypatch.setattr(module, "FLUSH_S", 0.01)


async def test_sources_are_forgotten_with_what_they_tell_of(valkey, tmp_path):
    telemetry = Telemetry(None, None, 60)
    for opened in (1, 2):
        telemetry.sources.append(lambda: iter([("tidegate_connections", (), 5)]))
        telemetry.start(valkey, tmp_path)
        assert telemetry.series()["tidegate_connections"] == {"": 5}
        assert len(telemetry.sources) == 1
        telemetry.recorder.unrouted.bytes += 10
        await telemetry.aclose()
        assert telemetry.sources == []
        assert read_sum(tmp_path)["tidegate_response_bytes"] == {"\x1f": 10 * opened}
