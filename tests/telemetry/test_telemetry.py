"""One worker's telemetry goes on whatever fails, and may be opened more than once."""

import logging
from types import SimpleNamespace

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


async def test_a_failing_source_ends_neither_the_numbers_nor_the_flushes(
    valkey, tmp_path, eventually, caplog
):
    telemetry = Telemetry(None, None, 60)
    rounds = 0

    def fails_three_times():
        nonlocal rounds
        rounds += 1
        if rounds <= 3:
            raise ValueError("unforeseen")
        yield "tidegate_connections", (), 7

    telemetry.sources.append(fails_three_times)
    with caplog.at_level(logging.ERROR, "tidegate.telemetry"):
        telemetry.start(valkey, tmp_path)
        await eventually(lambda: read_sum(tmp_path).get("tidegate_connections") == {"": 7})
        await telemetry.aclose()
    assert caplog.text.count("lost some metrics") == 1
    assert "unforeseen" in caplog.text


class FailsOnce:
    """Samples that fail in the first round."""

    dropped = 0

    def __init__(self):
        self.rounds = 0

    def take_some(self, meter, records):
        if self.rounds == 0:
            raise KeyError("unforeseen, in a fold")

    async def flush(self, store):
        self.rounds += 1
        if self.rounds == 1:
            raise ValueError("unforeseen, in a flush")


async def test_a_fold_and_a_flush_that_fail_are_said_and_the_next_round_comes(
    valkey, tmp_path, eventually, caplog
):
    samples = FailsOnce()
    telemetry = Telemetry(None, samples, 60)
    meter = telemetry.recorder.unrouted
    facts = SimpleNamespace(
        source="gateway", caller=None, cache_status=None, started_at=0.0, decided_at=0.0,
        forwarded_at=0.0,
    )  # fmt: skip
    meter.records = [(facts, "GET", 200, 5, 1.0)]
    with caplog.at_level(logging.ERROR, "tidegate.telemetry"):
        telemetry.start(valkey)
        await eventually(lambda: samples.rounds > 2)
        await telemetry.aclose()
    assert caplog.text.count("lost some usage") == 1
    assert caplog.text.count("lost some decision records") == 1
    assert meter.bytes == 5


async def test_a_source_that_fails_at_the_end_leaves_the_worker_ended(valkey, tmp_path):
    telemetry = Telemetry(None, None, 60)
    telemetry.sources.append(lambda: iter([("tidegate_workers", (), 1)]))
    telemetry.start(valkey, tmp_path)
    telemetry.sources.append(lambda: iter([None]))
    await telemetry.aclose()
    assert "tidegate_workers" not in read_sum(tmp_path)
